"""Patience with wrong tokens: each client waits for its own tries, and fills neither table nor log."""

import asyncio
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.access import wrong_tokens as module
from app.access.session_events import Kind
from app.access.wrong_tokens import SLOWEST, WAITING, WrongTokens, delay

OTHER, THIRD = ("192.0.2.7", 40000), ("192.0.2.8", 40001)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Kind, int]]:
    """What is recorded, with the number of tries."""
    recorded: list[tuple[Kind, int]] = []
    monkeypatch.setattr(module, "sessions", type("Sessions", (), {"file": None}))
    monkeypatch.setattr(module, "record", lambda file, scope, kind, tries: recorded.append((kind, tries)))
    return recorded


def of(client: tuple[str, int]) -> Scope:
    return {"type": "http", "client": client, "server": ("192.0.2.1", 5001), "headers": []}


def test_each_wrong_token_waits_longer_up_to_a_bound() -> None:
    delays = [delay(count) for count in range(1, 100)]
    assert delays == sorted(delays)
    assert delays[0] < 0.5
    assert delays[-1] == SLOWEST == 8


def test_only_so_many_of_one_client_wait_and_no_other_client_for_them(recorded: list[tuple[Kind, int]]) -> None:
    async def try_all() -> None:
        wrong = WrongTokens()
        waiting = [asyncio.ensure_future(wrong.slow_down(of(OTHER))) for _ in range(WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(HTTPException) as refusal:
            await wrong.slow_down(of(("192.0.2.7", 50000)))
        assert refusal.value.status_code == 429
        assert refusal.value.headers == {"retry-after": "8"}
        waiting.append(asyncio.ensure_future(wrong.slow_down(of(THIRD))))
        await asyncio.sleep(0)
        assert wrong.counts == {"192.0.2.7": WAITING, "192.0.2.8": 1}
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert wrong.waiting == {}
        wrong.forget(of(OTHER))
        assert wrong.counts == {"192.0.2.8": 1}

    asyncio.run(try_all())


def test_ever_fewer_of_many_tries_are_recorded(
    recorded: list[tuple[Kind, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "delay", lambda count: 0)

    async def try_all() -> None:
        wrong = WrongTokens()
        for _ in range(100):
            await wrong.slow_down(of(OTHER))

    asyncio.run(try_all())
    assert [tries for _, tries in recorded] == [1, 2, 4, 8, 16, 32, 64]


def test_only_so_many_clients_are_remembered(recorded: list[tuple[Kind, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "delay", lambda count: 0)
    monkeypatch.setattr(module, "CLIENTS", 3)

    async def try_all() -> None:
        wrong = WrongTokens()
        for number in range(10):
            await wrong.slow_down(of((f"192.0.2.{number}", 1)))
        assert list(wrong.counts) == ["192.0.2.7", "192.0.2.8", "192.0.2.9"]

    asyncio.run(try_all())


def test_the_module_counts_with_one_table_of_its_own(tmp_path: Path) -> None:
    assert isinstance(module.wrong_tokens, WrongTokens)
