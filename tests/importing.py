"""Files on their way in: an import as a person starts it, followed to its end."""

import time
from collections.abc import Callable
from typing import Any

import httpx

JSON = {"accept": "application/json"}


def upload(client: httpx.Client, name: str, content: bytes, kind: str = "") -> str:
    """Send a file in; the address of its import."""
    answer = client.post("/imports", files={"file": (name, content)}, data={"kind": kind})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def until(
    client: httpx.Client, address: str, ready: Callable[[dict[str, Any]], bool], seconds: float = 60
) -> dict[str, Any]:
    """The import, asked for until it is as wanted."""
    end = time.monotonic() + seconds
    pause = 0.01
    while time.monotonic() < end:
        each: dict[str, Any] = client.get(address, headers=JSON).json()
        if ready(each):
            return each
        time.sleep(pause)
        pause = min(0.1, 1.2 * pause)
    raise AssertionError(each)


def settled(each: dict[str, Any]) -> bool:
    """Whether nothing is under way."""
    return each["state"] not in ("checking", "writing", "undoing")


def bring(client: httpx.Client, name: str, content: bytes, kind: str = "", known: str = "") -> dict[str, Any]:
    """Take a file all the way in; `known` says what to do with the rows that are there already."""
    address = upload(client, name, content, kind)
    assert until(client, address, settled)["state"] == "ready"
    assert client.post(f"{address}/start", data={"known": known}).status_code == 303
    return until(client, address, settled)
