"""The way in: files for import (CSV, TSV, JSON, lines of JSON, gzipped or not).

Most go to the process that reads them alone, which is quick; now and then one goes all the way, over HTTP into the
data.
"""

import gzip
import json
import random
import time
from pathlib import Path

import httpx

from tests.engine.faults import grammar
from tests.engine.faults.forking import Forking
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.watched import MEGABYTE, MOST_MEGABYTES, Watched
from tests.engine.faults.ways.json_bodies import string, value

ALL_THE_WAY_EVERY = 40
PATIENCE_SECONDS = 30
# Longer than an input of this size may take, in processor time.
LONGEST_SECONDS = 5
# What so small a file may become.
MOST_WRITTEN = 64 * MEGABYTE
NAMES = (
    b"a.csv",
    b"a.csv",
    b"a.tsv",
    b"a.json",
    b"a.ndjson",
    b"a.csv.gz",
    b"a.json.gz",
    b"a",
    b"--check",
    b"a.xlsx",
    b"\xc3\xa9.csv",
)
COLUMNS = (
    *(
        "title",
        "Title",
        "notes",
        "due",
        "done",
        "id",
        "created_at",
        "updated_at",
        "x",
        "",
        "Content",
        "Task Name",
        "status",
    ),
    *(
        "TYPE",
        "PRIORITY",
        "INDENT",
        "DATE",
        "labels",
        "title",
        "\0",
        "é",
        "completed_at",
        "name",
        "description",
        "x" * 300,
    ),
)
ENCODINGS = (
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-be",
    "utf-32",
    "latin-1",
    "cp1252",
    "shift_jis",
    "utf-7",
)
REPEATED = (1, 2, 3, 10, 100, 2000)


class Imports:
    """Files as other programs write them, as nobody writes them, and what lies between."""

    name = "imports"

    def __init__(self, watched: Watched, reader: Forking, kind: str, examples: Path, room: Path) -> None:
        self.watched = watched
        self.reader = reader
        self.kind = kind
        # What other programs write is part of the example.
        self.examples = [path.read_bytes() for path in sorted(examples.glob("*")) if path.stat().st_size < 50_000]
        self.path = room / "file"
        self.inputs = 0

    def make(self, chance: random.Random) -> Input:
        """What the file is called, whether it is packed, and its pieces."""
        kind = chance.random()
        if kind < 0.2 and self.examples:
            parts = chance.choice(self.examples).splitlines(keepends=True) or [b""]
        elif kind < 0.65:
            parts = _table(chance)
        else:
            parts = _objects(chance)
        if chance.random() < 0.4:
            parts = list(grammar.mutated(chance, parts))
        packed = (
            chance.choice((b"", b"", b"gzip", b"gzip twice", b"gzip cut", b"gzip odd"))
            if chance.random() < 0.3
            else b""
        )
        return (chance.choice(NAMES), packed, *parts)

    def judge(self, given: Input) -> str:
        """Have the file read, twice as an import does; now and then all the way."""
        self.inputs += 1
        wrong = self._read(given)
        if not wrong and self.inputs % ALL_THE_WAY_EVERY == 0:
            wrong = self._all_the_way(given)
        return wrong

    def judge_alone(self, given: Input) -> str:
        """The same, and all the way."""
        wrong = self._read(given) if len(given) > 2 else ""
        return wrong or (self._all_the_way(given) if len(given) > 2 else "")

    def _read(self, given: Input) -> str:
        name, packed, *parts = given
        self.path.write_bytes(content(packed, b"".join(parts)))
        ends = []
        for options in (("--check",), ()):
            ended = self.reader.run(
                *(
                    "app.imports.reading.process",
                    str(self.path),
                    f"--name={name.decode(errors='replace')}",
                    f"--kind={self.kind}",
                ),
                *options,
            )
            lines = ended.said.rstrip("\n").split("\n")
            if ended.code not in (0, 1) or "Traceback" in ended.said:
                return f"the reader ends with code {ended.code}: {lines[-1].partition(':')[0][:80]}"
            if ended.seconds > LONGEST_SECONDS:
                return "slow: the reader takes longer than it may"
            if ended.megabytes > MOST_MEGABYTES:
                return f"memory: the reader takes more than {MOST_MEGABYTES} MB"
            if len(ended.said) > MOST_WRITTEN:
                return f"more than {MOST_WRITTEN // MEGABYTE} MB of rows come out of a small file"
            end = json.loads(lines[-1] or "{}")
            if not ({"end", "error"} & end.keys()) or ended.code != ("error" in end):
                return f"the reader says no end, and ends with code {ended.code}"
            ends.append(end.get("end") and end["end"]["rows"])
        return "" if ends[0] == ends[1] else "it reads another number of rows than it has counted"

    def _all_the_way(self, given: Input) -> str:
        """Over HTTP: every import ends in a state, and what was written can be taken back."""
        name, packed, *parts = given
        file = {"file": (name.decode(errors="replace"), content(packed, b"".join(parts)))}
        headers = {"Accept": "application/json", "Cookie": self.watched.cookie.decode()}
        with httpx.Client(base_url=self.watched.server.url, timeout=PATIENCE_SECONDS, headers=headers) as client:
            try:
                answer = client.post("/imports", files=file)
                if answer.status_code != 303:
                    return self.watched.look() or (f"upload: {answer.status_code}" if answer.status_code >= 500 else "")
                address = answer.headers["location"]
                each = _settled(client, address)
                for act, before in (("start", "ready"), ("cancel", "done"), ("cancel", "ready")):
                    if each["state"] == before:
                        client.post(f"{address}/{act}")
                        each = _settled(client, address)
            except httpx.HTTPError as error:
                return self.watched.look() or f"import: {type(error).__name__}"
        if each["state"] in ("checking", "writing", "undoing"):
            return f"an import stays in the state “{each['state']}”"
        if "exit code" in str(each["error"]):
            return "the reader of an import died"
        return self.watched.look()


def _settled(client: httpx.Client, address: str) -> dict[str, object]:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        each: dict[str, object] = client.get(address).json()
        if each.get("state") not in ("checking", "writing", "undoing", "waiting") or time.monotonic() > end:
            return each
        time.sleep(0.01)


def content(packed: bytes, text: bytes) -> bytes:
    """The bytes of the file."""
    if not packed:
        return text
    file = gzip.compress(gzip.compress(text) if packed == b"gzip twice" else text)
    if packed == b"gzip cut":
        return file[: len(file) // 2]
    return file[:-8] + bytes(8) + file if packed == b"gzip odd" else file


def _table(chance: random.Random) -> list[bytes]:
    delimiter = chance.choice((",", ",", ";", "\t", "|", ":", "\0", " "))
    encoding = chance.choice(ENCODINGS)
    ending = chance.choice(("\n", "\n", "\r\n", "\r", "\n\n", "\u2028", ""))
    columns = [
        chance.choice(COLUMNS)
        for _ in range(chance.choice((1, 2, 3, 5, 20, 20, 3000) if chance.random() < 0.05 else (1, 3, 4)))
    ]
    rows = [columns]
    for _ in range(chance.choice((0, 1, 2, 5, 20))):
        rows.append([_cell(chance) for _ in range(max(0, len(columns) + chance.choice((0, 0, 0, 0, -1, 1))))][:3000])
    lines = [
        _bytes(delimiter.join(_quoted(chance, cell, delimiter) for cell in row) + ending, encoding) for row in rows
    ]
    if chance.random() < 0.1 and len(lines) > 1:
        lines[-1] *= chance.choice(REPEATED)
    return lines


def _cell(chance: random.Random) -> str:
    return chance.choice(
        ("", "0", "1", "2026-05-01", "01/05/2026", "x", "yes", grammar.text(chance), grammar.text(chance))
    )


def _quoted(chance: random.Random, cell: str, delimiter: str) -> str:
    needs = any(sign in cell for sign in (delimiter, '"', "\n", "\r"))
    if needs and chance.random() < 0.9:
        doubled = cell.replace('"', '""')
        return f'"{doubled}"'
    return f'"{cell}' if chance.random() < 0.01 else cell


def _bytes(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return grammar.encoded(text)


def _objects(chance: random.Random) -> list[bytes]:
    lines = chance.random() < 0.5
    objects = []
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        names = [chance.choice(COLUMNS) for _ in range(chance.choice((1, 2, 3, 10)))]
        if chance.random() < 0.02:
            names = [f"n{number}" for number in range(chance.choice((200, 3000)))]
        members = ", ".join(f"{string(chance, name)}: {value(chance, chance.choice((0, 1, 3)))}" for name in names)
        objects.append(grammar.encoded(f"{{{members}}}"))
    if chance.random() < 0.05:
        objects[-1] *= chance.choice(REPEATED)
    if chance.random() < 0.02:
        return [chance.choice((b"[", b'{"a":', b'[{"title":[')) * chance.choice((30, 100, 1000, 50_000))]
    if lines:
        return [each + chance.choice((b"\n", b"\n", b"\r\n", b"\r")) for each in objects]
    head, tail = chance.choice(
        ((b"[", b"]"), (b'{"tasks": [', b"]}"), (b'{"cards": [', b'], "lists": []}'), (b'{"items":[', b"]}"))
    )
    return [head, *(each + b"," for each in objects[:-1]), objects[-1], tail]
