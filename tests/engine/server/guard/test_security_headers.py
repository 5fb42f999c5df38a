"""What every answer says to browsers: the policy, and that a name of its own is asked over https alone."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.guard.security_headers import POLICY, SECURITY_HEADERS, reporting
from tests.engine.conftest import SERVED, Server

HSTS = "strict-transport-security"
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server that speaks https, and has a name of its own beside those of the machine."""
    assert "--no-reload" in SERVED
    server = Server(tmp_path_factory.mktemp("secure") / "data", "--tls", "--allow-host", "box.lan")
    with httpx.Client(base_url=server.url, verify=False, timeout=60) as client:
        yield client
    server.stop()


@pytest.mark.parametrize("host", ["box.lan", "box.lan:8443", "BOX.lan"])
@pytest.mark.parametrize("path", ["/tasks", "/healthz", "/nothing-here", "/static/app.css"])
def test_a_name_of_its_own_is_asked_over_https_for_a_year(secure: httpx.Client, host: str, path: str) -> None:
    for _ in range(2):
        assert secure.get(path, headers={"Host": host, **FRAGMENT}).headers[HSTS] == "max-age=31536000"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:1"])
def test_what_every_app_of_the_machine_answers_to_is_not(secure: httpx.Client, host: str) -> None:
    """A browser keeps it by name, for all ports: other apps of the machine would be gone."""
    for _ in range(2):
        assert HSTS not in secure.get("/tasks", headers={"Host": host, **FRAGMENT}).headers


def test_over_http_nothing_is_said_of_it_whatever_was_kept_over_https(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--proxy-headers", "--allow-host", "box.lan")
    try:
        with httpx.Client(base_url=server.url, headers={"Host": "box.lan"}, timeout=60) as client:
            for proto, said in (("https", True), ("http", False)) * 2:
                answer = client.get("/sign-in", headers={"X-Forwarded-Proto": proto, "X-Forwarded-For": "192.0.2.1"})
                assert (HSTS in answer.headers) == said
    finally:
        server.stop()


def test_a_policy_that_reports_is_the_same_otherwise() -> None:
    told = dict(reporting("/here"))
    assert told.keys() == dict(SECURITY_HEADERS).keys()
    policy = told[b"content-security-policy"]
    assert policy.endswith(b"; report-uri /here")
    assert policy.replace(b" 'report-sample'", b"").removesuffix(b"; report-uri /here") == POLICY
    assert b"script-src 'self' 'report-sample'" in policy
    assert b"style-src 'self' 'report-sample'" in policy
