"""Files for import that were made to fill the disk or to end the server: each comes to an end, and little is left."""

import gzip
import json
from pathlib import Path

import httpx
import pytest

from tests.engine.app.imports.reading.test_process import ODD, wide
from tests.engine.conftest import Server
from tests.engine.faults.test_full_disk import SmallDisk, fill, small
from tests.importing import settled, until, upload

__all__ = ["small"]  # a fixture


def bytes_on_disk(server: Server) -> int:
    return sum(path.stat().st_size for path in server.data.rglob("*") if path.is_file())


def taken_in(client: httpx.Client, name: str, content: bytes) -> str:
    """How an import ends that is started where it can be."""
    address = upload(client, name, content)
    if until(client, address, settled)["state"] == "ready":
        client.post(f"{address}/start")
    return str(until(client, address, settled)["state"])


PACKED = {
    "names.csv.gz": wide(999, 1000, 300),
    "names again.csv.gz": wide(999, 12, 300),
    "names.ndjson.gz": b"".join(
        json.dumps({"title": "x", **{f"{number:03}{'n' * 40}": 1 for number in range(900)}}).encode() + b"\n"
        for _ in range(100)
    ),
    "rows.csv.gz": b"title\n" + b"a\n" * 1_000_000,
    "section.csv.gz": b"TYPE,CONTENT,INDENT\nsection," + b"s" * 500_000 + b",\n" + b"task,a,1\n" * 5000,
}


@pytest.mark.parametrize("name", PACKED)
def test_a_small_packed_file_makes_no_large_database(client: httpx.Client, server: Server, name: str) -> None:
    """Of 2 kB with names that came again in each of 300 rows, 300 MB were made once."""
    packed = gzip.compress(PACKED[name])
    before = bytes_on_disk(server)
    assert taken_in(client, name, packed) in ("failed", "done")
    grown = bytes_on_disk(server) - before
    print(f"\n{name}: {len(packed):,} bytes packed, {len(PACKED[name]):,} of text, {grown:,} on the disk")
    # The rows, their index, and the log of both.
    assert grown < 4 * (2_000_000 + 16 * min(len(PACKED[name]), 50 * len(packed)))


@pytest.mark.parametrize("name", ["digits.json", "digits.ndjson", "exponent.json", "names.json", "null.json"])
def test_what_ended_readers_once_is_a_sentence_or_read(client: httpx.Client, server: Server, name: str) -> None:
    content = ODD[name]
    address = upload(client, name, content if isinstance(content, bytes) else content.encode())
    each = until(client, address, settled)
    assert each["state"] in ("failed", "ready")
    assert "process" not in each["error"]
    page = client.get(address)
    assert page.status_code == 200
    assert (each["error"] == "") == (each["state"] == "ready")


def test_a_disk_that_fills_while_rows_come_in_is_said_and_they_are_taken_back(small: SmallDisk, tmp_path: Path) -> None:
    larger = SmallDisk(tmp_path / "larger", size=64 * 2**20)
    try:
        with larger.client() as client:
            address = upload(client, "rows.csv", b"title,notes\n" + b"A row,with some notes in it\n" * 60_000)
            assert until(client, address, settled)["state"] == "ready"
            # An eighth of it is left for everything else.
            fill(larger.disk, left=9 * 2**20)
            assert client.post(f"{address}/start").status_code == 303
            each = until(client, address, settled)
            assert (each["state"], each["rows_done"]) == ("undone", 0)
            assert each["error"] == "There was no room left on the disk. Make room, then import the file again."
            assert client.get("/export.json").json() == []
            assert client.post("/tasks", data={"title": "There is room for this"}).status_code == 303
            answer = client.post("/imports", files={"file": ("a.csv", b"title\n" + b"A row\n" * 1_000_000)})
            assert (answer.status_code, "Make room" in answer.text) == (507, True)
            assert not list((larger.disk / "uploads").iterdir())
            (larger.disk / "filler").unlink()
            assert taken_in(client, "a.csv", b"title\nImported\n") == "done"
    finally:
        larger.end_anyhow()
