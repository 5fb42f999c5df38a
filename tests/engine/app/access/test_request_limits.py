"""Limits: so many at once, then at a rate, each client for itself, in bounded memory."""

import itertools
import time
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from app.access import request_limits
from app.access.request_limits import RateLimit, client_of, network_of
from server.guard.peer_account import CONNECTION, TRANSPORT
from tests.engine.server.test_run import Running


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_so_many_at_once_and_then_at_a_rate(clock: Clock) -> None:
    limit = RateLimit(burst=3, seconds=2, clock=clock)
    assert [limit.wait("a") for _ in range(5)] == [0, 0, 0, 2, 2]
    clock.now += 1.5
    assert limit.wait("a") == pytest.approx(0.5)
    clock.now += 0.5
    assert [limit.wait("a") for _ in range(2)] == [0, 2]
    assert limit.wait("b") == 0
    clock.now += 100
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 2]


@given(st.lists(st.floats(0, 5), max_size=60), st.integers(1, 6), st.floats(0.1, 3))
def test_never_more_than_burst_and_rate_allow(pauses: list[float], burst: int, seconds: float) -> None:
    clock = Clock()
    limit = RateLimit(burst, seconds, clock)
    allowed = []
    for pause in pauses:
        clock.now += pause
        waits = limit.wait("a")
        assert 0 <= waits <= seconds + 1e-6
        if not waits:
            allowed.append(clock.now)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= burst + (allowed[last] - allowed[first]) / seconds + 1e-6


def test_memory_is_bounded_and_the_forgotten_are_those_of_long_ago(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_limits, "CLIENTS", 5)
    limit = RateLimit(burst=1, seconds=10, clock=clock)
    for number in range(50):
        limit.wait(str(number))
    assert list(limit._free_at) == ["45", "46", "47", "48", "49"]


def test_too_much_is_said_with_when_to_come_back(clock: Clock) -> None:
    limit = RateLimit(burst=1, seconds=6, clock=clock)
    limit.check("a", "exports")
    with pytest.raises(HTTPException, match=r"too many exports .* 6 seconds") as refusal:
        limit.check("a", "exports")
    assert (refusal.value.status_code, refusal.value.headers) == (429, {"retry-after": "7"})


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("no address", ""),
        ("192.0.2.7, 192.0.2.8", ""),
        ("fe80::1%" + "x" * 60_000, ""),
        ("x" * 60_000, ""),
        ("", ""),
    ],
)
def test_a_household_of_ipv6_is_one_client(address: str, network: str) -> None:
    assert network_of(address) == network


def test_on_this_machine_each_account_is_a_client() -> None:
    """Else another account's requests would use up what the owner's browser may ask."""

    def client(address: str | None, account: int | None) -> str:
        return client_of({"client": (address, 4000) if address else None, CONNECTION: {"account": account}})

    assert client("127.0.0.1", 1000) == client("::1", 1000) == "account 1000 of this machine"
    assert client("127.0.0.1", 1001) != client("127.0.0.1", 1000)
    assert client("127.0.0.1", None) == "127.0.0.1"
    assert client(None, 1000) == "account 1000 of this machine"
    assert client(None, None) == ""
    assert client("192.0.2.7", 1000) == "192.0.2.7", "the account is that of a proxy"


class Transport:
    """What a connection says of its other end."""

    def __init__(self, peer: object) -> None:
        self.peer = peer

    def get_extra_info(self, name: str) -> object:
        return self.peer if name == "peername" else None


def test_what_is_no_address_counts_as_the_peer_that_sent_it() -> None:
    def client(address: str, peer: object, account: int | None = None) -> str:
        return client_of({"client": (address, 0), CONNECTION: {"account": account, TRANSPORT: Transport(peer)}})

    for address in ("unknown", "_hidden", "x" * 60_000, "192.0.2.7;", "fe80::1%" + "x" * 60_000):
        assert client(address, ("192.0.2.1", 4000)) == "192.0.2.1"
        assert client(address, ("2001:db8:1:2:3:4:5:6", 4000, 0, 0)) == "2001:db8:1:2::/64"
        assert client(address, ("127.0.0.1", 4000), 1000) == "account 1000 of this machine"
        assert client(address, "", 1000) == "account 1000 of this machine"
        assert client(address, None) == ""
    assert client("192.0.2.7", ("192.0.2.1", 4000)) == "192.0.2.7"


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ("--port", "0", "--proxy-headers", "--allow-host", "tasks.test")
    running = Running("server.py", "run", *options, data=tmp_path_factory.mktemp("behind") / "data")
    yield running
    running.end_anyhow()


def test_behind_a_proxy_the_forwarded_client_is_limited_and_no_other(behind_proxy: Running) -> None:
    def ask(client: httpx.Client, address: str) -> httpx.Response:
        return client.get("/healthz", headers={"Host": "tasks.test", "X-Forwarded-For": address})

    with behind_proxy.client() as client:
        end = time.monotonic() + 30
        while (answer := ask(client, "192.0.2.7")).status_code == 200:
            assert time.monotonic() < end
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["cache-control"] == "no-store"
        assert "Too many requests come from your address." in answer.text
        assert ask(client, "192.0.2.8").status_code == 200


def test_behind_a_proxy_what_is_no_address_does_not_get_round_the_limit(behind_proxy: Running) -> None:
    with behind_proxy.client() as client:
        end = time.monotonic() + 30
        for number in itertools.count():
            address = f"{number}" + "x" * 30_000
            if client.get("/healthz", headers={"Host": "tasks.test", "X-Forwarded-For": address}).status_code == 429:
                return
            assert time.monotonic() < end


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("192.0.2.31", {"Cookie": "c" * 9000}, 431),
        ("192.0.2.32", {"Cookie": "; ".join(f"c{number}=1" for number in range(200))}, 431),
        ("192.0.2.33", {"Host": "another.test"}, 403),
        ("192.0.2.34", {"Host": "tasks.test:port"}, 400),
        ("192.0.2.35", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
    ],
)
def test_requests_that_are_refused_for_what_they_are_count_as_well(
    behind_proxy: Running, address: str, headers: dict[str, str], status: int
) -> None:
    outside = {"Host": "tasks.test", "X-Forwarded-For": address}
    with behind_proxy.client(headers=outside) as client:
        end = time.monotonic() + 30
        while (answer := client.get("/healthz", headers=headers)).status_code == status:
            assert time.monotonic() < end
        assert answer.status_code == 429
        while client.get("/healthz").status_code != 429:  # An honest request of the same address.
            assert client.get("/healthz", headers=headers).status_code in (status, 429)
            assert time.monotonic() < end
        assert client.get("/healthz", headers={"X-Forwarded-For": "192.0.2.30"}).status_code == 200
