"""What the authority may vouch for, as OpenSSL and Chromium see it: the names it was made for, and nothing else."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.sharing.certificate_authority import VALID, YOUNGER, Authority

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no command `openssl` here")
NAMES = ["127.0.0.1", "::1", "box.lan", "localhost"]
BEGIN = datetime.now(UTC) - YOUNGER
END = BEGIN + timedelta(days=397)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One for NAMES."""
    return Authority.make(NAMES)


def verified(directory: Path, authority: Authority, names: list[str], *options: str) -> str:
    """What `openssl verify` says of a certificate for these names that the authority has signed."""
    (directory / "ca.pem").write_bytes(authority.pem())
    (directory / "server.pem").write_bytes(authority.sign(names, BEGIN, END))
    command = ["openssl", "verify", "-x509_strict", *options, "-CAfile", "ca.pem", "server.pem"]
    return subprocess.run(command, cwd=directory, capture_output=True, encoding="utf-8").stderr


@pytest.mark.parametrize("name", NAMES)
def test_what_it_signs_for_its_names_is_taken(tmp_path: Path, authority: Authority, name: str) -> None:
    option = "-verify_ip" if name[0] in "1:" else "-verify_hostname"
    assert verified(tmp_path, authority, NAMES, "-purpose", "sslserver", option, name) == ""


@pytest.mark.parametrize("name", ["bank.example", "lan", "otherbox.lan", "8.8.8.8", "127.0.0.2", "::2"])
def test_what_it_signs_for_others_is_refused(tmp_path: Path, authority: Authority, name: str) -> None:
    assert "permitted subtree violation" in verified(tmp_path, authority, [name])
    assert "permitted subtree violation" in verified(tmp_path, authority, ["localhost", name])


def test_it_signs_servers_and_nothing_else(tmp_path: Path, authority: Authority) -> None:
    for purpose in ("sslclient", "smimesign"):
        assert "purpose" in verified(tmp_path, authority, ["localhost"], "-purpose", purpose)


def test_it_is_valid_for_ten_years_and_says_that_it_is_constrained(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem())
    command = ["openssl", "x509", "-in", tmp_path / "ca.pem", "-noout", "-text"]
    text = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    assert "X509v3 Name Constraints: critical" in text
    assert "CA:TRUE, pathlen:0" in text
    assert "TLS Web Server Authentication" in text
    assert authority.certificate.not_valid_after_utc - authority.certificate.not_valid_before_utc == VALID


def test_it_may_sign_for_its_names_while_it_is_valid(authority: Authority) -> None:
    assert authority.may_sign_for(NAMES, END)
    assert authority.may_sign_for(["localhost"], END)
    assert not authority.may_sign_for([*NAMES, "other.lan"], END)
    assert not authority.may_sign_for(NAMES, BEGIN + VALID + timedelta(days=1))


def test_it_is_read_as_it_was_kept(authority: Authority) -> None:
    assert Authority.read(authority.key_pem() + authority.pem()).pem() == authority.pem()
    for half in (authority.key_pem(), authority.pem(), b"nonsense"):
        with pytest.raises(ValueError, match=r"\S"):
            Authority.read(half)
