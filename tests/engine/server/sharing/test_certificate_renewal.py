"""A server that runs takes up another certificate, made in its last days or put in its place by the person."""

import hashlib
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.sharing.certificate_authority import Authority
from tests.engine.reloading import Checkout, until

BEGIN = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """One that looks after its certificate all the time."""
    checkout = Checkout(tmp_path)
    checkout.edit("server/sharing/certificate_renewal.py", "LOOK_SECONDS = 3600", "LOOK_SECONDS = 0.1")
    yield checkout
    checkout.end_anyhow()


def seen(checkout: Checkout) -> str:
    """The certificate that a new connection sees."""
    where = urlsplit(checkout.url)
    found = ssl.get_server_certificate((str(where.hostname), where.port or 0))
    return hashlib.sha256(found.encode()).hexdigest()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("--no-reload",), marks=pytest.mark.slow),
        ("--workers", "2"),
        pytest.param(("--reload",), marks=pytest.mark.slow),
    ],
)
def test_one_that_was_made_here_is_made_anew_in_its_last_days(checkout: Checkout, how: tuple[str, ...]) -> None:
    checkout.start("--tls", *how)
    made = checkout.data / "tls" / "server.pem"
    before, authority = seen(checkout), (checkout.data / "tls" / "ca.pem").read_bytes()
    where = urlsplit(checkout.url)
    trust = ssl.create_default_context(cafile=checkout.data / "tls" / "ca.pem")
    with closing(HTTPSConnection(str(where.hostname), where.port, context=trust, timeout=30)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        note, _, pem = made.read_text(encoding="utf-8").partition("\n")
        soon = (datetime.now(UTC) + timedelta(days=20)).isoformat()
        made.write_text(json.dumps(json.loads(note) | {"until": soon}) + "\n" + pem, encoding="utf-8")
        # Each of several workers takes it up.
        until(lambda: before not in {seen(checkout) for _ in range(16)}, "another is used")
        assert (checkout.data / "tls" / "ca.pem").read_bytes() == authority, "nobody has to trust anything anew"
        connection.request("GET", "/healthz")
        assert connection.getresponse().read(), "who is connected stays so"
    with checkout.client(verify=trust) as client:
        assert client.get("/healthz").status_code == 200
    assert checkout.end() == 0


def test_one_of_the_persons_own_is_taken_up_once_it_can_be_used(checkout: Checkout, tmp_path: Path) -> None:
    authority = Authority.make(["127.0.0.1"])
    cert, key = tmp_path / "own.crt", tmp_path / "own.key"

    def put() -> None:
        made = authority.sign(["127.0.0.1"], BEGIN, BEGIN + timedelta(days=90)).decode()
        begin = made.index("-----BEGIN CERTIFICATE-----")
        key.write_text(made[:begin], encoding="utf-8")
        cert.write_text(made[begin:], encoding="utf-8")

    put()
    checkout.start("--no-reload", "--cert", str(cert), "--key", str(key))
    before = seen(checkout)
    key.write_text("half a key", encoding="utf-8")
    until(lambda: "was not renewed" in checkout.printed(), "it is said")
    assert seen(checkout) == before
    put()
    until(lambda: seen(checkout) != before, "another is used")
    assert checkout.end() == 0
