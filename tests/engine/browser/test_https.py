"""Https in a real Chromium that trusts the authority of this machine: the app opens, no other name does."""

import http.server
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.commands.doctor import BROWSERS
from server.sharing.certificate import certificate
from server.sharing.certificate_authority import Authority

BEGIN = datetime.now(UTC) - timedelta(days=1)


class Welcome(http.server.BaseHTTPRequestHandler):
    """Answers everything with one word."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<p>welcome")

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def served(certificate: Path) -> Iterator[int]:
    """A server with this certificate; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Welcome) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority for box.lan and this machine, and a certificate of it for a bank."""
    directory = tmp_path_factory.mktemp("https") / "tls"
    certificate(directory, ("localhost", "127.0.0.1", "::1", "box.lan"))
    stolen = Authority.read((directory / "ca-key.pem").read_bytes())
    (directory / "bank.pem").write_bytes(stolen.sign(["bank.example"], BEGIN, BEGIN + timedelta(days=300)))
    return directory


@pytest.fixture(scope="module")
def opened(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Opens an address in a browser that trusts the authority; what it shows, and what it says of errors."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None or shutil.which("certutil") is None:
        reason = "needs the system's packages `chromium` and `libnss3-tools`"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    home = tmp_path_factory.mktemp("home")
    database = f"sql:{home}/.pki/nssdb"
    (home / ".pki/nssdb").mkdir(parents=True)
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True)
    trusted = ["-t", "C,,", "-n", "of this machine", "-i", str(tls / "ca.pem")]
    subprocess.run(["certutil", "-A", "-d", database, *trusted], check=True)
    mapped = "--host-resolver-rules=MAP box.lan 127.0.0.1, MAP bank.example 127.0.0.1"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-logging=stderr"]

    def open_page(address: str) -> str:
        command = [program, *quiet, mapped, f"--user-data-dir={home}/profile", "--dump-dom", address]
        environment = {**os.environ, "HOME": str(home)}
        ended = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=120)
        return ended.stdout + ended.stderr

    return open_page


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "box.lan"])
def test_the_names_of_the_app_open(tls: Path, opened: Callable[[str], str], name: str) -> None:
    with served(tls / "server.pem") as port:
        assert "welcome" in opened(f"https://{name}:{port}/")


def test_a_bank_does_not_whoever_has_the_key_of_the_authority(tls: Path, opened: Callable[[str], str]) -> None:
    with served(tls / "bank.pem") as port:
        said = opened(f"https://bank.example:{port}/")
    assert "welcome" not in said
    assert "ERR_CERT_INVALID" in said
