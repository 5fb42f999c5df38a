"""The way in: `python3 server.py new`. What is refused has changed nothing; what is made works."""

import random
import shutil
from contextlib import closing
from pathlib import Path

import httpx

from tests.engine.conftest import PLAIN, Server
from tests.engine.faults import grammar
from tests.engine.faults.forking import Forking
from tests.engine.faults.fuzzing import Input
from tests.engine.faults.watched import MOST_MEGABYTES
from tests.engine.project import Project

LONGEST_SECONDS = 5
NAMES = (
    *(
        "recipe",
        "item",
        "book",
        "news",
        "task",
        "tasks",
        "person",
        "goods",
        "class",
        "import",
        "list",
        "dict",
        "id",
        "sessions",
    ),
    *(
        "order",
        "group",
        "index",
        "select",
        "table",
        "user",
        "file",
        "main",
        "db",
        "app",
        "forms",
        "page",
        "search",
        "rows",
        "kind",
    ),
    *(
        "Recipe",
        "two_words",
        "two__words",
        "_x",
        "x_",
        "1x",
        "x1",
        "a" * 20,
        "a" * 21,
        "museum_piece",
        "é",
        "",
        "-x",
        "a b",
        "con",
    ),
    *(
        "self",
        "print",
        "str",
        "date",
        "text",
        "today",
        "zone",
        "row",
        "query",
        "link",
        "form",
        "field",
        "value",
        "safe",
        "raw",
    ),
    *(
        "settings",
        "export",
        "exports",
        "sign_in",
        "healthz",
        "static",
        "live",
        "summary",
        "development",
        "history",
        "change",
    ),
    *(
        "request",
        "rt",
        "fragment",
        "show",
        "api",
        "template",
        "title",
        "notes",
        "done",
        "due",
        "count",
        "rank",
        "x",
        "y",
        "test",
    ),
)
FIELDS = (
    *(
        "title",
        "name",
        "note",
        "size",
        "day",
        "done",
        "kind",
        "id",
        "rowid",
        "order",
        "group",
        "from",
        "is",
        "class",
        "count",
        "q",
    ),
    *(
        "sort",
        "page",
        "pages",
        "in",
        "version",
        "updated_at",
        "created_at",
        "deleted",
        "since",
        "method",
        "_method",
        "file",
        "label",
    ),
    *(
        "error",
        "given",
        "request",
        "self",
        "cls",
        "form",
        "value",
        "values",
        "columns",
        "type",
        "index",
        "key",
        "year",
        "html",
    ),
    *(
        "made_by",
        "short_name",
        "side_note",
        "é",
        "",
        "A",
        "two_words",
        "a" * 20,
        "a" * 21,
        "x",
        "y",
        "z",
        "replace",
        "text",
        "date",
    ),
)
TYPES = ("str", "str", "text", "int", "float", "bool", "date")
ODD_TYPES = (
    "",
    "STR",
    "string",
    "str??",
    "?",
    "list",
    "str ",
    "money",
    "moment",
    "low/high",
    "str:optional",
    "date:unique",
    "item:items",
)
VALUES = {"str": "Apple pie", "text": "With *cream*", "int": "12", "float": "1.5", "bool": "1", "date": "2026-05-01"}


class New:
    """Names of features and fields that mean something to somebody: Python, SQL, English, HTML, the app itself."""

    name = "new"

    def __init__(self, project: Project, commands: Forking, room: Path) -> None:
        self.project = project
        self.commands = commands
        self.room = room
        self.made = 0

    def make(self, chance: random.Random) -> Input:
        """The arguments."""
        name = chance.choice(NAMES) if chance.random() < 0.9 else grammar.text(chance, 0)[:40]
        fields = [self._field(chance) for _ in range(chance.choice((0, 1, 2, 3, 5, 30)))]
        if chance.random() < 0.7:
            fields.insert(0, "title:str")
        given = [name, *fields]
        if chance.random() < 0.15:
            given += ["--plural", chance.choice(NAMES)]
        if chance.random() < 0.05:
            given.insert(
                chance.randrange(len(given) + 1), chance.choice(("--", "--help", "-x", "--plural", "--data", "\x1b[2J"))
            )
        return tuple(each.replace("\0", "") for each in given)

    def judge(self, given: Input) -> str:
        """Give the command these arguments."""
        ended = self.commands.run("server.commands.cli", "new", *given)
        if "Traceback" in ended.said or ended.code not in (0, 1, 2):
            last = ended.said.strip().splitlines()[-1:] or ["nothing said"]
            return f"new ends with code {ended.code}: {last[0].partition(':')[0]}"
        if ended.seconds > LONGEST_SECONDS:
            return "slow: new takes longer than it may"
        if ended.megabytes > MOST_MEGABYTES:
            return f"memory: new takes more than {MOST_MEGABYTES} MB"
        status = self.project.status()
        if not status:
            return ""
        wrong = "new refuses, and has changed the project" if ended.code else self._works(given, status)
        self.project.begin_anew()
        return wrong

    judge_alone = judge

    def _works(self, given: Input, status: str) -> str:
        """Whether what was made serves a row from its beginning to its end."""
        self.made += 1
        plural = next(Path(line[3:]).stem for line in status.splitlines() if line.startswith("?? app/"))
        data = self.room / f"made-{self.made}"
        server = Server(data, project=self.project.root)
        try:
            with closing(httpx.Client(base_url=server.url, **PLAIN)) as client:
                wrong = _walk(client, f"/{plural}", _form(given))
        finally:
            code = server.stop()
        if not wrong and (code or "Traceback" in server.log.read_text(encoding="utf-8")):
            wrong = f"what new has made logs a trace, or ends with code {code}"
        shutil.rmtree(data, ignore_errors=True)
        return wrong

    def _field(self, chance: random.Random) -> str:
        name = chance.choice(FIELDS) if chance.random() < 0.95 else grammar.text(chance, 0)[:30]
        kind = chance.choice(TYPES) if chance.random() < 0.95 else chance.choice(ODD_TYPES)
        return f"{name}:{kind}{chance.choice(('', '', '?'))}"


def _form(given: Input) -> dict[str, str]:
    fields = [each.partition(":") for each in given[1:] if ":" in each]
    return {name: VALUES[kind.removesuffix("?")] for name, _, kind in fields if kind.removesuffix("?") in VALUES}


def _walk(client: httpx.Client, area: str, form: dict[str, str]) -> str:
    """Add, look, search, edit, export, delete and bring back one row; what is wrong."""
    steps = (
        ("GET", area, {}, 200),
        ("POST", area, form, 303),
        ("GET", f"{area}/1", {}, 200),
        ("GET", f"{area}?q=Apple", {}, 200),
        ("GET", f"{area}/1/edit", {}, 200),
        ("PATCH", f"{area}/1", form, 303),
        ("GET", f"/export.csv?kind={area[1:]}", {}, 200),
        ("GET", f"/export.json?kind={area[1:]}", {}, 200),
        ("DELETE", f"{area}/1", {}, 303),
        ("POST", f"{area}/1/restore", {}, 303),
        ("GET", area, {}, 200),
    )
    for method, address, sent, expected in steps:
        answer = client.request(method, address, data=sent)
        if answer.status_code != expected:
            return f"what new has made answers {method} {address.replace(area, '/FEATURE')} with {answer.status_code}"
    return "" if "Apple pie" in answer.text else "what new has made does not show its row"
