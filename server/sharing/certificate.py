"""A certificate for https on this machine: an authority of its own, which people can trust, and what it has signed.

The authority is made once and kept, its key never leaves the directory. The certificate is made anew when it nears its
end or when the hosts differ. Each file is written whole, then put in its place, so that starts at the same time
cannot break each other; what a certificate was made for stands above it in its own file. How they are made is in
server/sharing/certificate_authority.py.
"""

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from server.private_files import put
from server.settings import LOOPBACK_NAMES, Settings, SettingsError

if TYPE_CHECKING:
    from server.sharing.certificate_authority import Authority

# Browsers take no certificate that is valid for longer than 398 days.
VALID = timedelta(days=397)
RENEWED = timedelta(days=30)
# What is made here; a certificate of another kind is made anew.
KIND = "of an authority with name constraints"
# TLS 1.2 with forward secrecy and authenticated encryption; the suites of TLS 1.3 are all so.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

logger = logging.getLogger("uvicorn.error")


class Certificate(NamedTuple):
    """The files of a certificate, of its key (the same file), and of the authority that signed it."""

    cert: Path
    key: Path
    ca: Path


def certificate(directory: Path, hosts: Iterable[str]) -> Certificate:
    """The certificate for `hosts` in `directory`, made where there is none that will do.

    Raises SettingsError where none can be made.
    """
    files = Certificate(directory / "server.pem", directory / "server.pem", directory / "ca.pem")
    names = sorted({host.strip("[]").lower() for host in hosts})
    try:
        _make_directory(directory)
        if not _will_do(files, names):
            with _turn(directory):
                if not _will_do(files, names):
                    _make(files, names)
    except OSError as error:
        raise SettingsError(
            f"No certificate can be kept in {directory}: {error.strerror}. Make it writable for you, then start again."
        ) from None
    return files


def files(settings: Settings) -> tuple[Path | None, Path | None]:
    """The files of the certificate and its key, made where they have to be; none without https.

    Raises SettingsError where they cannot be used.
    """
    if settings.cert and settings.key:
        check_own(settings.cert, settings.key)
        return settings.cert, settings.key
    if not settings.tls:
        return None, None
    made = certificate(settings.data / "tls", {settings.host, *LOOPBACK_NAMES, *settings.allow_host})
    return made.cert, made.key


def how_to_trust(ca: Path) -> str:
    """What a person does so that browsers take the certificate."""
    return (
        f"Browsers warn until they trust {ca}: import it once as a certificate authority "
        "(browser settings, Certificates, Authorities). It is for this machine only, keep its directory to yourself."
    )


def context(config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """What a server takes from clients, as Uvicorn's `ssl_context_factory`."""
    serving = default()
    serving.minimum_version = ssl.TLSVersion.TLSv1_2
    serving.set_ciphers(CIPHERS)
    # Nobody can have keys made again and again on one connection.
    serving.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return serving


def check_own(cert: Path, key: Path) -> None:
    """Raises SettingsError for a certificate and a key of the person's own that no browser would take."""
    for option, path, expected in (("--cert", cert, b"CERTIFICATE-----"), ("--key", key, b"PRIVATE KEY-----")):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{option} {path} cannot be read: {error.strerror}.") from None
        if b"-----BEGIN " not in content or expected not in content:
            what = "certificate" if option == "--cert" else "private key"
            raise SettingsError(f"{option} {path} holds no {what} in PEM (-----BEGIN …): name the file that does.")

    def no_password() -> str:
        raise SettingsError(
            f"--key {key} is locked with a password: take it off with `openssl pkey -in {key} -out NEW`, and name NEW."
        )

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        serving.load_cert_chain(cert, key, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(
                f"--key {key} is not the key of --cert {cert}: name the two that were made together."
            ) from None
        raise SettingsError(f"--cert {cert} and --key {key} cannot be used: {error.reason or error}.") from None
    _check_now(serving, cert)


def http_protocol(settings: Settings, http1: str) -> tuple[str, str | None]:
    """What Uvicorn takes as `http`: HTTP/2 and `http1` side by side, or `http1` and why HTTP/2 is left out.

    Uvicorn's own `http2` stays off: it would read HTTP/1.1 with another parser, without limits on the head.
    """
    if not settings.http2:
        return http1, None
    if not settings.tls and settings.cert is None:
        return http1, "Browsers speak HTTP/2 over https only: add --tls. Until then it is HTTP/1.1."
    if importlib.util.find_spec("zttp") is None:
        return http1, "HTTP/2 needs zttp: install it with `uv sync --inexact --group http2`. Until then it is HTTP/1.1."
    return "server.protocols.http2:EitherProtocol", None


def _check_now(serving: ssl.SSLContext, cert: Path) -> None:
    """Look at a certificate as a client does, in a handshake in memory: it must be valid today."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    asking.load_verify_locations(cert)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (client, server, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise SettingsError(
            f"--cert {cert} cannot be used: {error.verify_message}. Renew it, then start again."
        ) from None


def _make_directory(directory: Path) -> None:
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)


def _will_do(files: Certificate, names: list[str]) -> bool:
    """Whether the certificate that is there is for these names and this authority, and for long enough.

    It is read from the line above it: to ask the certificate itself would take longer than the rest of the start.
    """
    try:
        with files.cert.open() as file:
            note = json.loads(file.readline())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.cert)
        made_for = {"hosts": names, "authority": _fingerprint(files.ca.read_bytes()), "kind": KIND}
        until = datetime.fromisoformat(note.pop("until"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    return bool(note == made_for and datetime.now(UTC) + RENEWED < until < datetime.now(UTC) + VALID)


def _make(files: Certificate, names: list[str]) -> None:
    """Sign a new certificate; where there is no authority that may, make one too."""
    from server.sharing.certificate_authority import (
        YOUNGER,  # What makes one loads longer than everything else here; few starts need it.
    )

    begin = datetime.now(UTC) - YOUNGER
    try:
        authority = _authority(files.ca, names, begin + VALID)
        signed = authority.sign(names, begin, begin + VALID)
    except ValueError as error:
        raise SettingsError(f"No certificate can be made for {', '.join(names)}: {error}.") from None
    ca = authority.pem()
    note = {"hosts": names, "authority": _fingerprint(ca), "kind": KIND, "until": (begin + VALID).isoformat()}
    put(files.ca, ca)
    put(files.cert, json.dumps(note).encode() + b"\n" + signed)


def _authority(ca: Path, names: list[str], until: datetime) -> "Authority":
    """The authority that is kept beside `ca`, its key and certificate in one file; a new one where it may not sign."""
    from server.sharing.certificate_authority import Authority

    kept = ca.with_name("ca-key.pem")
    if kept.exists():
        try:
            authority = Authority.read(kept.read_bytes())
        except (ValueError, TypeError):
            raise SettingsError(f"{kept} is damaged: remove it, start again, and trust the new {ca.name}.") from None
        if authority.may_sign_for(names, until):
            return authority
    authority = Authority.make(names)
    if kept.exists():
        logger.warning(
            "%s is another authority now: it vouches for %s and nothing else, and for ten years, which the one before "
            "did not. Trust it anew where you open the app, and remove the old one there.",
            ca,
            ", ".join(names),
        )
    put(kept, authority.key_pem() + authority.pem())
    return authority


@contextlib.contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """Wait until no other start makes a certificate there; the lock ends with the process that has it."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock.
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _fingerprint(ca: bytes) -> str:
    return hashlib.sha256(ca).hexdigest()
