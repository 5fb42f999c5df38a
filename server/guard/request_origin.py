"""Where a request comes from, by its headers: a page of this app, another site, or a proxy that was not configured.

Another site may lead a person to a page here, with a link, and nothing else: no image, frame, script or download of
it. Browsers say so in Sec-Fetch-… (https://www.w3.org/TR/fetch-metadata/); those that do not are judged by Origin and
Referer. A program, curl say, sends none of these.

A proxy speaks for others. It was either named by `--proxy-headers`, so that everybody signs in, or it is refused: what
it passes on would count as coming from this machine. It gives itself away by what it adds; by HTTP/1.0, which nginx
speaks where it is told nothing; or because what a browser says of the page's host and of its connection is not so here.
What gives itself away by nothing, such as `ssh -L`, shows in whom the other end of the connection belongs to.
"""

from starlette.types import Scope

from server.guard.host_names import Host, of_page

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
# What a browser says of its own accord where no other site asks, and a program does not say at all.
OWN_SITES = frozenset((b"same-origin", b"none", None))
FORWARDED = frozenset(
    b"forwarded via x-forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-server "
    b"x-forwarded-protocol x-forwarded-scheme x-forwarded-ssl x-forwarded-prefix x-forwarded-path x-forwarded-uri "
    b"x-forwarded-method x-forwarded-by x-forwarded-user x-forwarded-email x-forwarded-access-token "
    b"x-forwarded-client-cert x-forwarded-client-ip x-forwarded-tls-client-cert x-forwarded-groups "
    b"x-forwarded-preferred-username x-real-ip x-client-ip x-cluster-client-ip x-original-forwarded-for "
    b"x-original-host x-original-proto x-proxyuser-ip x-envoy-external-address x-envoy-original-path true-client-ip "
    b"client-ip cf-connecting-ip cf-ray fastly-client-ip fly-client-ip x-azure-clientip x-appengine-user-ip "
    b"x-remote-user remote-user x-url-scheme x-original-url x-original-uri x-rewrite-url x-host".split()
)
# Those that have a request looked at more closely.
TELLING = FORWARDED | {b"origin", b"sec-purpose", b"purpose", b"x-moz"}
PROXY = (
    "A proxy passed this on, and this server was not told of one. Start it with --proxy-headers --allow-host NAME, "
    "where NAME is what the browser shows as the host; everybody then signs in."
)
CHANGE = "A change can only come from this app's own pages. Open the page here and try again."
QUESTION = "Another site can lead to a page here with a link, and to nothing else. Open the page here and try again."
OTHER_NAME = "If this is the app's own page, start the app with the host that the browser shows as --allow-host."
DOWNLOAD = "Another site cannot start a download here. Open the page here, and take it from there."


def is_passed_on(scope: Scope, named: dict[bytes, bytes], *, is_private: bool) -> bool:
    """Whether a proxy speaks; where it is private, and nobody signs in, what is unlike a browser or program too."""
    if not FORWARDED.isdisjoint(named):
        return True
    if not is_private:
        return False
    version = scope.get("http_version", "1.1")
    if version == "1.0":
        return True
    if version == "1.1" and scope["type"] == "http" and not keeps_open(named):
        return True
    if named.get(b"sec-fetch-site") != b"same-origin":
        return False
    host = named.get(b"host")
    pages = [named[name] for name in (b"origin", b"referer") if name in named]
    return any(host_of(page) != host for page in pages)


def keeps_open(named: dict[bytes, bytes]) -> bool:
    """Whether the connection is one as browsers have it, who all keep it open and say so; or no browser asks."""
    connection = named.get(b"connection", b"")
    return (
        connection == b"keep-alive"
        or not named.get(b"user-agent", b"").startswith(b"Mozilla/")
        or b"keep-alive" in connection.lower()
    )


def refusal(scope: Scope, named: dict[bytes, bytes], *, is_download: bool, pages: frozenset[Host] | None = None) -> str:
    """Why a request may not be asked from where it comes; empty where it may.

    `pages` are given behind a proxy, which may have changed the host, the port and the scheme of a request on its way:
    then a page of the host, or of one of these, is the app's own, whatever its port. So a browser that says where it
    comes from by Sec-Fetch-Site is judged as it is where it says it by Origin, which is all that WebSockets have.
    """
    host = named.get(b"host", b"")
    site, origin = named.get(b"sec-fetch-site"), named.get(b"origin")
    spoken = scope.get("scheme", "http")
    scheme = {"ws": "http", "wss": "https"}.get(spoken, spoken)
    # With neither header it is no browser: a script, curl.
    is_own = site in OWN_SITES if site is not None else origin is None or origin == f"{scheme}://".encode() + host
    if site is None and origin is not None and pages is not None:
        # A proxy that says nothing of https may speak it all the same; one that says so does not speak http.
        is_own = _is_proxied(origin, host, pages) and (scheme == "http" or origin.startswith(b"https:"))
    if scope["type"] != "http" or scope["method"] not in SAFE_METHODS:
        return "" if is_own else CHANGE if pages is None else f"{CHANGE} {OTHER_NAME}"
    if is_own and (site is not None or is_own_page(named.get(b"referer"), host, pages)):
        return ""
    if not _is_navigation(site, named):
        return QUESTION
    return DOWNLOAD if is_download else ""


def is_own_page(referer: bytes | None, host: bytes | None, pages: frozenset[Host] | None = None) -> bool:
    """Whether a page of this host asks, or nobody says which page does."""
    return not referer or host_of(referer) == host or (pages is not None and _is_proxied(referer, host or b"", pages))


def _is_proxied(page: bytes, host: bytes, pages: frozenset[Host]) -> bool:
    """Whether a page is of a host, or of one of these, at any port."""
    name = of_page(page)
    return name is not None and (name in pages or name == of_page(b"//" + host))


def host_of(address: bytes) -> bytes:
    """The host and port of an address; empty where there is none."""
    parts = address.split(b"/", 3)
    return parts[2] if len(parts) > 2 else b""


def _is_navigation(site: bytes | None, named: dict[bytes, bytes]) -> bool:
    """Whether a person goes to the page; not in a frame, and not ahead of time."""
    if b"sec-purpose" in named or b"purpose" in named or b"x-moz" in named:
        return False
    if site is None:
        return b"origin" not in named and b"text/html" in named.get(b"accept", b"")
    return named.get(b"sec-fetch-mode") == b"navigate" and named.get(b"sec-fetch-dest") == b"document"
