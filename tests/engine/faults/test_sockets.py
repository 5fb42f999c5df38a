"""Where a server listens that was started without a word about it: this machine alone."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.engine.conftest import Server


@pytest.fixture(
    params=[(), pytest.param(("--workers", "2"), marks=pytest.mark.slow), ("--reload",)],
    ids=lambda options: " ".join(options) or "default",
)
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of its own, started in each way there is."""
    server = Server(tmp_path / "data", *request.param)
    yield server
    server.stop()


def sockets_of(process: psutil.Process) -> list[Any]:
    """What a process has open; nothing if it has ended since it was listed, as what looks after the code may have."""
    try:
        return process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []


def test_every_socket_is_on_loopback(started: Server) -> None:
    main = psutil.Process(started.process.pid)
    sockets = [each for process in [main, *main.children(recursive=True)] for each in sockets_of(process)]
    listening = {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN}
    assert {address.port for address in listening} == {int(started.url.rpartition(":")[2])}
    assert all(ipaddress.ip_address(address.ip).is_loopback for address in listening)
    others = [each for each in sockets if each.status != psutil.CONN_LISTEN]
    # What is not listening is who asked; nothing is sent anywhere, and nothing is open for datagrams.
    assert all(each.raddr and ipaddress.ip_address(each.raddr.ip).is_loopback for each in others)
