"""The systemd unit in docs/running.md: as systemd reads it, and the app under what it allows."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.app_name import SLUG
from tests.engine.conftest import PATIENCE, PROJECT, ROOT
from tests.engine.reloading import until

PAGE = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
CSV = "title,done\nbread,no\nwater,yes\n"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit of the page, as a file."""
    (text,) = re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / f"{SLUG}.service"
    path.write_text(text, encoding="utf-8")
    return path


def analyzed(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says of a unit."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, encoding="utf-8")


def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    unit.write_text(
        unit.read_text(encoding="utf-8").replace(f"/srv/{SLUG}/.venv/bin/python", sys.executable), encoding="utf-8"
    )
    said = analyzed("verify", unit)
    assert (said.returncode, [line for line in said.stderr.splitlines() if unit.name in line]) == (0, [])


def test_the_unit_is_as_little_exposed_as_the_page_says(unit: Path) -> None:
    (figure,) = re.findall(r"exposure level of this unit is ([\d.]+)", PAGE)
    said = analyzed("security", "--offline=true", f"--threshold={float(figure) * 10:.0f}", unit)
    assert said.returncode == 0, said.stdout[-200:]


@pytest.fixture
def confined(unit: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The app under what the unit allows: where it answers, and its data."""
    why = "needs root, unshare, systemd-analyze and libseccomp"
    if os.name != "posix" or os.geteuid() or not all(map(shutil.which, ("unshare", "systemd-analyze"))):
        pytest.skip(why)
    # A container may not let even root do that.
    alone = ["unshare", "--mount", "--propagation", "private", "mount", "-o", "bind,remount,ro", "/"]
    if subprocess.run(alone, capture_output=True).returncode != 0:
        pytest.skip(why)
    data, log = tmp_path / "data", tmp_path / "log"
    data.mkdir()
    command = [sys.executable, "server.py", "--no-open", "--no-reload", "--port", "0", "--data", data]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.sandbox", unit, data, *command],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8",
        )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    if "libseccomp" in log.read_text(encoding="utf-8"):
        pytest.skip(why)
    found = re.search(r"http://\S+", line)
    assert found, log.read_text(encoding="utf-8")
    yield found[0], data
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    process.stdout.close()
    assert "Traceback" not in log.read_text(encoding="utf-8"), log.read_text(encoding="utf-8")


def test_the_app_serves_writes_and_imports_under_what_the_unit_allows(confined: tuple[str, Path]) -> None:
    address, data = confined
    with httpx.Client(base_url=address, timeout=PATIENCE, transport=httpx.HTTPTransport(retries=5)) as client:
        assert client.get("/healthz").status_code == 200
        assert client.post("/tasks", data={"title": "milk"}).status_code == 303
        sent = client.post("/imports", files={"file": ("tasks.csv", CSV)}, data={"kind": "tasks"})
        assert sent.status_code == 303
        until(lambda: "2 tasks" in client.get(sent.headers["location"]).text, "it was read")
        assert client.get("/export.db").content.startswith(b"SQLite format 3")
    assert (data / "app.db").exists()


TRIES = """
import ctypes, mmap, os, socket, sys
def refused(what):
    try:
        what()
    except OSError:
        return
    sys.exit("this was not refused: line %d" % what.__code__.co_firstlineno)
open(os.path.join(sys.argv[1], "mine"), "w").close()
refused(lambda: open("server.py", "a"))
refused(lambda: open("app/mine.py", "w"))
refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
refused(lambda: os.chroot("."))
# Before Linux 6.3 there is no such promise.
if ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) == 1:
    refused(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4).close()
print("all refused")
"""


def test_code_cannot_be_written_nor_made_in_memory_there(confined: tuple[str, Path], unit: Path) -> None:
    data = confined[1]
    command = [sys.executable, "-m", "tests.engine.sandbox", unit, data, sys.executable, "-c", TRIES, data]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, encoding="utf-8")
    assert said.stdout == "all refused\n", said.stderr
