"""The certificate for https: an authority that is kept, a certificate that clients take, errors that say what to do."""

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.settings import Settings, SettingsError
from server.sharing.certificate import (
    Certificate,
    certificate,
    check_own,
    context,
    how_to_trust,
    http_protocol,
)
from server.sharing.certificate_authority import Authority
from tests.engine.conftest import ROOT, Server

HOSTS = ("localhost", "127.0.0.1", "::1")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the certificate is to be kept; not there yet."""
    return tmp_path / "data" / "tls"


def seen(files: Certificate, host: str = "localhost") -> dict[str, object]:
    """The certificate as a client sees it that trusts the authority; fails as the client does."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(files.cert, files.key)
    asking = ssl.create_default_context(cafile=files.ca)
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        answering = threading.Thread(target=lambda: answer(serving, theirs))
        answering.start()
        try:
            with asking.wrap_socket(ours, server_hostname=host) as connection:
                return dict(connection.getpeercert() or {})
        finally:
            ours.close()
            answering.join(10)


def openssl(*words: str | Path) -> str:
    """What the command `openssl` says."""
    if shutil.which("openssl") is None:
        pytest.skip("no command `openssl` here")
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, encoding="utf-8").stdout


def answer(serving: ssl.SSLContext, connection: socket.socket) -> None:
    try:
        serving.wrap_socket(connection, server_side=True).close()
    except OSError:
        connection.close()  # The client has gone, and says why.


@pytest.mark.parametrize("host", HOSTS)
def test_a_client_that_trusts_the_authority_takes_the_certificate(directory: Path, host: str) -> None:
    assert seen(certificate(directory, HOSTS), host)


def test_no_other_host_is_in_it_and_nobody_else_takes_it(directory: Path, tmp_path: Path) -> None:
    files = certificate(directory, HOSTS)
    with pytest.raises(ssl.SSLCertVerificationError):
        seen(files, "elsewhere.example")
    other = certificate(tmp_path / "other", HOSTS)
    with pytest.raises(ssl.SSLCertVerificationError):
        seen(files._replace(ca=other.ca))


def test_it_is_valid_from_yesterday_and_no_longer_than_browsers_take(directory: Path) -> None:
    found = seen(certificate(directory, HOSTS))
    begin, end = (ssl.cert_time_to_seconds(str(found[when])) for when in ("notBefore", "notAfter"))
    assert timedelta(seconds=end - begin) <= timedelta(days=397)
    assert begin <= (datetime.now(UTC) - timedelta(hours=23)).timestamp()
    assert end >= (datetime.now(UTC) + timedelta(days=395)).timestamp()


def test_only_the_owner_reads_the_keys(directory: Path) -> None:
    certificate(directory, HOSTS)
    assert directory.parent.stat().st_mode & 0o777 == directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        "ca.pem": 0o600,
        "ca-key.pem": 0o600,
        "server.pem": 0o600,
    }
    assert "PRIVATE" not in (directory / "ca.pem").read_text(encoding="utf-8")
    assert (directory / "ca-key.pem").read_text(encoding="utf-8").count("PRIVATE KEY-----") == 2


def test_a_directory_that_was_there_is_left_as_its_owner_has_it(directory: Path) -> None:
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    certificate(directory, HOSTS)
    assert directory.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}


def test_a_good_certificate_is_used_again_and_costs_no_loading(directory: Path) -> None:
    files = certificate(directory, HOSTS)
    before = files.cert.read_bytes()
    look = (
        "import sys; from pathlib import Path; from server.sharing.certificate import certificate;"
        f"certificate(Path(sys.argv[1]), {[*reversed(HOSTS), '[::1]', 'LOCALHOST']!r});"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", look, directory], cwd=ROOT).returncode == 0
    assert files.cert.read_bytes() == before


def test_fewer_hosts_get_another_certificate_of_the_same_authority(directory: Path) -> None:
    files = certificate(directory, (*HOSTS, "box.lan"))
    authority, before = files.ca.read_bytes(), files.cert.read_bytes()
    assert certificate(directory, HOSTS) == files
    assert files.cert.read_bytes() != before
    assert files.ca.read_bytes() == authority


def test_another_host_needs_another_authority_which_is_said(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = certificate(directory, HOSTS)
    authority = files.ca.read_bytes()
    assert caplog.text == ""
    certificate(directory, (*HOSTS, "box.lan"))
    assert files.ca.read_bytes() != authority
    assert "vouches for 127.0.0.1, ::1, box.lan, localhost and nothing else" in caplog.text
    assert "Trust it anew" in caplog.text
    assert seen(files, "box.lan")


def test_an_authority_of_the_old_kind_is_replaced_and_that_is_said(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that may vouch for any name, for ever, with a certificate that is good for months."""
    directory.mkdir(parents=True)
    old = directory / "old.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "99999",
            "-subj", "/O=Old", "-addext", "basicConstraints=critical,CA:TRUE",
            "-config", os.devnull, "-keyout", old, "-out", directory / "ca.pem")  # fmt: skip
    (directory / "ca-key.pem").write_text(
        old.read_text(encoding="utf-8") + (directory / "ca.pem").read_text(encoding="utf-8"), encoding="utf-8"
    )
    old.unlink()
    until = (datetime.now(UTC) + timedelta(days=200)).isoformat()
    fingerprint = hashlib.sha256((directory / "ca.pem").read_bytes()).hexdigest()
    note = {"hosts": sorted(HOSTS), "authority": fingerprint, "until": until}
    (directory / "server.pem").write_text(
        json.dumps(note) + "\n" + (directory / "ca-key.pem").read_text(encoding="utf-8"), encoding="utf-8"
    )
    before = (directory / "ca.pem").read_bytes()
    files = certificate(directory, HOSTS)
    assert files.ca.read_bytes() != before
    assert "is another authority now" in caplog.text
    assert seen(files)


@pytest.mark.parametrize(("days", "made_anew"), [(31, False), (29, True), (-1, True), (500, True)])
def test_it_is_made_anew_in_its_last_thirty_days(directory: Path, days: int, made_anew: bool) -> None:
    files = certificate(directory, HOSTS)
    note, _, pem = files.cert.read_text(encoding="utf-8").partition("\n")
    until = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    files.cert.write_text(json.dumps(json.loads(note) | {"until": until}) + "\n" + pem, encoding="utf-8")
    before = files.cert.read_text(encoding="utf-8")
    certificate(directory, HOSTS)
    assert (files.cert.read_text(encoding="utf-8") != before) == made_anew


@pytest.mark.parametrize("content", ["", "{}\n", "[]\n", "null\n", "nonsense", '{"until": 5}\n', "\0\n"])
def test_a_damaged_certificate_is_made_anew(directory: Path, content: str) -> None:
    files = certificate(directory, HOSTS)
    files.cert.write_text(content, encoding="utf-8")
    certificate(directory, HOSTS)
    assert seen(files)


def test_a_certificate_without_its_key_is_made_anew(directory: Path) -> None:
    files = certificate(directory, HOSTS)
    files.cert.write_text(files.cert.read_text(encoding="utf-8").partition("\n")[0] + "\n", encoding="utf-8")
    certificate(directory, HOSTS)
    assert seen(files)


def test_an_authority_that_was_removed_by_hand_comes_back_from_its_key(directory: Path) -> None:
    files = certificate(directory, HOSTS)
    authority = files.ca.read_bytes()
    files.ca.unlink()
    certificate(directory, HOSTS)
    assert files.ca.read_bytes() == authority
    assert seen(files)


def test_a_new_authority_has_its_own_certificate(directory: Path) -> None:
    files = certificate(directory, HOSTS)
    for name in ("ca.pem", "ca-key.pem"):
        (directory / name).unlink()
    certificate(directory, HOSTS)
    assert seen(files)


def test_a_damaged_authority_is_said(directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "ca-key.pem").write_text("nonsense", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"ca-key\.pem is damaged: remove it"):
        certificate(directory, HOSTS)


def test_starts_at_the_same_time_end_with_one_authority_and_a_whole_certificate(directory: Path) -> None:
    make = (
        "import sys; from pathlib import Path; from server.sharing.certificate import certificate; "
        "certificate(Path(sys.argv[1]), {!r})"
    )
    starts = [
        subprocess.Popen([sys.executable, "-c", make.format(HOSTS), directory], cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [start.communicate()[1] for start in starts] == [b""] * 4
    assert seen(Certificate(directory / "server.pem", directory / "server.pem", directory / "ca.pem"))
    assert sorted(path.name for path in directory.iterdir()) == ["ca-key.pem", "ca.pem", "server.pem"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file", encoding="utf-8")
    with pytest.raises(SettingsError, match="No certificate can be kept in"):
        certificate(tmp_path / "data" / "tls", HOSTS)


def test_a_host_that_no_certificate_can_name_is_said(directory: Path) -> None:
    with pytest.raises(SettingsError, match="No certificate can be made for"):
        certificate(directory, ("..", "localhost"))


def test_the_way_to_trust_it_names_the_file(directory: Path) -> None:
    assert str(directory / "ca.pem") in how_to_trust(directory / "ca.pem")


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Makes a certificate and its key as a person may have them."""
    authority = Authority.make(["localhost"])

    def make(
        name: str = "own", not_before: datetime = datetime(2020, 1, 1), not_after: datetime = datetime(2999, 1, 1)
    ) -> tuple[Path, Path]:
        made = authority.sign(["localhost"], not_before, not_after).decode()
        cert, key = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        begin = made.index("-----BEGIN CERTIFICATE-----")
        key.write_text(made[:begin], encoding="utf-8")
        cert.write_text(made[begin:], encoding="utf-8")
        return cert, key

    return make


def test_a_certificate_of_ones_own_is_taken(own: Callable[..., tuple[Path, Path]]) -> None:
    check_own(*own())


def test_a_certificate_of_ones_own_that_is_no_longer_valid_is_said(own: Callable[..., tuple[Path, Path]]) -> None:
    with pytest.raises(SettingsError, match=r"own\.crt cannot be used: certificate has expired\. Renew it"):
        check_own(*own(not_after=datetime(2021, 1, 1)))
    with pytest.raises(SettingsError, match="certificate is not yet valid"):
        check_own(*own(not_before=datetime(2900, 1, 1)))


def test_a_key_of_another_certificate_is_said(own: Callable[..., tuple[Path, Path]]) -> None:
    (cert, _), (_, key) = own("one"), own("two")
    with pytest.raises(SettingsError, match=r"two\.key is not the key of --cert .*one\.crt"):
        check_own(cert, key)


def test_a_file_of_another_kind_is_said(own: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    cert, key = own()
    with pytest.raises(SettingsError, match=r"--cert .*own\.key holds no certificate in PEM"):
        check_own(key, key)
    with pytest.raises(SettingsError, match=r"--key .*own\.crt holds no private key in PEM"):
        check_own(cert, cert)
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        check_own(cert, tmp_path / "nothing")
    cert.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="cannot be used"):
        check_own(cert, key)


def test_a_key_with_a_password_is_said_and_nobody_is_asked_for_it(own: Callable[..., tuple[Path, Path]]) -> None:
    from cryptography.hazmat.primitives import serialization as form

    cert, key = own()
    opened = form.load_pem_private_key(key.read_bytes(), None)
    locked = form.BestAvailableEncryption(b"word")
    key.write_bytes(opened.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, locked))
    with pytest.raises(SettingsError, match="locked with a password: take it off with `openssl pkey"):
        check_own(cert, key)


def test_http2_is_spoken_where_it_was_asked_for_and_can_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def found(name: str) -> object:
        return name == "zttp" or None

    monkeypatch.setattr(importlib.util, "find_spec", found)
    both = ("server.protocols.http2:EitherProtocol", None)
    assert http_protocol(Settings(tls=True), "one") == ("one", None)
    assert http_protocol(Settings(tls=True, http2=True), "one") == both
    own = Settings(http2=True, cert=tmp_path / "own.crt", key=tmp_path / "own.key")
    assert http_protocol(own, "one") == both
    http, words = http_protocol(Settings(http2=True), "one")
    assert (http, words) == ("one", "Browsers speak HTTP/2 over https only: add --tls. Until then it is HTTP/1.1.")


def test_where_zttp_is_missing_the_command_that_brings_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    http, words = http_protocol(Settings(tls=True, http2=True), "one")
    assert http == "one"
    assert words is not None
    assert "`uv sync --inexact --group http2`" in words


def test_the_server_serves_https_to_those_who_trust_its_authority(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--tls")
    try:
        assert server.url.startswith("https://")
        with httpx.Client(base_url=server.url, verify=server.trust()) as client:
            assert client.get("/healthz").status_code == 200
            assert client.post("/tasks", data={"title": "milk"}).status_code == 303
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(server.url, verify=ssl.create_default_context())
    finally:
        assert server.stop() == 0


def offered(server: Server, **limits: Any) -> str:
    """The version of TLS that a server and a client with these limits agree on. Raises SSLError where they do not."""
    asking = server.trust()
    asking.set_ciphers("ALL:@SECLEVEL=0")
    for name, value in limits.items():
        setattr(asking, name, value)
    host, _, port = server.url.removeprefix("https://").partition(":")
    with (
        socket.create_connection((host, int(port)), 30) as plain,
        asking.wrap_socket(plain, server_hostname=host) as connection,
    ):
        return connection.version() or ""


def test_nothing_older_than_tls_1_2_and_no_weak_cipher_is_spoken(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--tls")
    try:
        assert offered(server) == "TLSv1.3"
        assert offered(server, maximum_version=ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with (
            pytest.warns(DeprecationWarning, match="TLSv1"),
            pytest.raises(ssl.SSLError, match=r"EOF|PROTOCOL_VERSION"),
        ):
            offered(server, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    finally:
        server.stop()
    files = Certificate(*[server.data / "tls" / name for name in ("server.pem", "server.pem", "ca.pem")])
    serving = context(None, lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    serving.load_cert_chain(files.cert)
    assert all(" Mac=AEAD" in each["description"] for each in serving.get_ciphers())
    assert serving.options & ssl.OP_NO_RENEGOTIATION
