"""Following the code: what counts as an edit, what becomes of one that does not work, and that nothing stays behind."""

import itertools
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from server.reload import Filter
from tests.reloading import PATIENCE, Checkout, lives, until

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_numbers = itertools.count(2)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A server that follows its code, for tests that leave the code working."""
    checkout = Checkout(tmp_path_factory.mktemp("reload")).start()
    yield checkout
    if checkout.process.poll() is None:
        assert checkout.end() == 0
    checkout.end_anyhow()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the project, not running yet."""
    checkout = Checkout(tmp_path)
    yield checkout
    checkout.end_anyhow()


def following(running: Checkout) -> int:
    """How often the app has been started once an edit from now on is served: what came before it has been seen."""
    running.publish(f"edition {next(_numbers)}")
    return len(running.starts())


# What is an edit, and how many there are.


def test_an_edit_of_a_template_is_served(running: Checkout) -> None:
    words = f"What needs doing, {next(_numbers)}?"
    running.path("templates/tasks.py").write_text(
        re.sub(r"What needs doing[^\"]*\?", words, running.path("templates/tasks.py").read_text())
    )
    until(lambda: words in running.get("/tasks").text, "the template is served")


def test_to_save_without_a_change_does_nothing_nor_does_what_is_no_code(running: Checkout) -> None:
    before = following(running)
    main = running.path("app/main.py")
    main.write_text(main.read_text())
    main.touch()
    for name in (
        "app/.main.py.swp", "app/4913", "app/main.py~", "app/.#main.py", "app/#main.py#", "app/notes.txt",
        "app/__pycache__/main.py", "templates/.tasks.py", "static/.app.css.swx", "static/app.css~", "README.md",
    ):  # fmt: skip
        running.path(name).write_text("x = 1\n")
    running.path("tests").mkdir(exist_ok=True)
    running.path("tests/test_main.py").write_text("x = 1\n")
    (running.data / "code.py").write_text("x = 1\n")
    # What comes after all of that is one start.
    assert following(running) == before + 1


@pytest.mark.parametrize("count", [5, 100])
def test_many_files_at_once_are_one_reload(running: Checkout, count: int) -> None:
    before = following(running)
    for number in range(count):
        running.path(f"templates/page_{number}.py").write_text(f"NUMBER = {time.time_ns()}\n")
    until(lambda: len(running.starts()) > before, "it is reloaded")
    assert following(running) == before + 2, "once, and once for the edit that shows that there was no other"


def test_a_save_as_editors_do_it_is_an_edit(running: Checkout) -> None:
    """A new file that is moved over the old one."""
    main, edition = running.path("app/main.py"), f"edition {next(_numbers)}"
    before = len(running.starts())
    new = running.path("app/.main.py.new")
    new.write_text(re.sub(r'EDITION = ".*"', f'EDITION = "{edition}"', main.read_text()))
    new.replace(main)
    until(lambda: running.edition() == edition, "it is served")
    assert len(running.starts()) == before + 1


def test_files_that_come_and_go_are_edits(running: Checkout) -> None:
    before = following(running)
    page = running.path("templates/short_lived.py")
    page.write_text("NUMBER = 1\n")
    until(lambda: len(running.starts()) == before + 1, "a new file")
    until(lambda: len(running.processes()) == 4, "the old worker is gone")
    page.unlink()
    until(lambda: len(running.starts()) == before + 2, "a file that was deleted")


def test_a_save_during_a_reload_is_one_more_reload_and_the_last_one_is_served(running: Checkout) -> None:
    before = following(running)
    main = running.path("app/main.py")
    slow = main.read_text().replace('EDITION = "', 'time.sleep(0.5)\nEDITION = "')
    main.write_text(slow)
    until(lambda: len(running.starts()) == before + 1, "a worker starts")
    last = f"edition {next(_numbers)}"
    for edition in ("lost 1", "lost 2", "lost 3", last):
        # Long enough that each is an edit of its own, all within one start.
        main.write_text(re.sub(r'(time.sleep\(0.5\)\n)?EDITION = ".*"', f'EDITION = "{edition}"', slow))
        time.sleep(0.05)
    until(lambda: running.edition() == last, "the last one is served")
    assert following(running) == before + 3


def test_two_saves_of_one_length_within_a_second_are_both_seen(running: Checkout) -> None:
    """Python takes compiled code for that of a source of the same length and second."""
    for _ in range(4):
        for edition in ("edition A", "edition B"):
            running.publish(edition)


def test_saves_of_one_length_while_a_worker_starts_are_seen_too(running: Checkout) -> None:
    tasks = running.path("templates/tasks.py")
    source = re.sub(r"What needs doing[^\"]*\?", "What needs doing, 00?", tasks.read_text())
    for _ in range(5):
        for letter in "ABCDEFGH":
            tasks.write_text(source.replace("doing, 00?", f"doing, {letter * 2}?"))
            time.sleep(0.03)
        until(lambda: "What needs doing, HH?" in running.get("/tasks").text, "the last one is served")


@pytest.mark.slow
def test_what_is_pinned_needs_a_new_start_and_that_is_said_each_time(running: Checkout) -> None:
    before = following(running)
    for number, name in enumerate(("pyproject.toml", "pyproject.toml", "uv.lock", "uv.lock")):
        said = running.printed().count(f"{name} changed")
        new = running.path(f"{name}.new")
        new.write_text(running.path(name).read_text() + f"# {number}\n")
        # As uv and most editors write: by moving a new file over the old one.
        new.replace(running.path(name))
        until(lambda name=name, said=said: running.printed().count(f"{name} changed") == said + 1, f"{name} {number}")
    assert "stop the server and start it again" in running.printed()
    assert following(running) == before + 1


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("app/main.py", True),
        ("templates/tasks.py", True),
        ("static/app.css", True),
        ("static/vendor/htmx.min.js", True),
        ("pyproject.toml", True),
        ("uv.lock", True),
        ("app/__pycache__/main.cpython-311.pyc", False),
        ("app/__pycache__/main.py", False),
        ("app/.main.py.swp", False),
        ("app/.main.py", False),
        ("app/main.py~", False),
        ("app/#main.py#", False),
        ("app/.#main.py", False),
        ("app/4913", False),
        ("app/main.py.tmp.1", False),
        ("app/main.py___jb_tmp___", False),
    ],
)
def test_what_matters(name: str, counts: bool) -> None:
    assert Filter()(None, f"/project/{name}") is counts  # type: ignore[arg-type]


# What does not work.


BROKEN = {
    "syntax": ("templates/tasks.py", "def add_form(", "def add_form(:", "SyntaxError: "),
    "import": ("app/tasks.py", "\nfrom app", "\nimport nothing_like_it\nfrom app", "No module named 'nothing_like_it'"),
    "start": ("app/main.py", "await sessions.sweep()", "raise RuntimeError('at start')", "RuntimeError: at start"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_the_last_version_serves_while_an_edit_is_broken_and_it_is_said_once(running: Checkout, kind: str) -> None:
    name, old, new, message = BROKEN[kind]
    following(running)
    edition, source, at = running.edition(), running.path(name).read_text(), len(running.printed())
    assert old in source
    running.path(name).write_text(source.replace(old, new, 1))
    until(lambda: message in running.printed()[at:], "it is said")
    assert running.edition() == edition
    running.path(name).write_text(source)
    until(lambda: "Mended." in running.printed()[at:], "it is mended")
    assert running.edition() == edition
    said = running.printed()[at:]
    assert said.count(message) == 1, said
    assert "Traceback" not in said
    assert re.search(rf"^in {name}:\d+\. The last version", said, re.MULTILINE), said
    assert re.search(r"^>\s+\d+ \| ", said, re.MULTILINE), said


MIGRATION = """

@migrations()
def broken(db: Database) -> None:
    db.execute("CREATE TABLE half (id INTEGER)")
    db.execute("INSERT INTO nothing_like_it VALUES (1)")
"""


def test_a_migration_that_fails_changes_nothing_and_the_last_version_serves(checkout: Checkout) -> None:
    checkout.start()
    source = checkout.path("app/migrations.py").read_text()
    checkout.path("app/migrations.py").write_text(source + MIGRATION)
    until(lambda: "nothing_like_it" in checkout.printed(), "it is said")
    until(lambda: "app/migrations.py:" in checkout.printed(), "where it is")
    with checkout.client() as client:
        assert client.post("/tasks", data={"title": "Still here"}).status_code == 303
    with sqlite3.connect(checkout.data / "app.db") as file:
        assert not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()
    file.close()
    checkout.path("app/migrations.py").write_text(source)
    until(lambda: "Mended." in checkout.printed(), "it is mended")
    assert "Still here" in checkout.get("/tasks").text
    assert checkout.end() == 0


def test_broken_at_the_first_start_a_page_says_so_and_what_is_broken_next(checkout: Checkout) -> None:
    source = checkout.path("app/main.py").read_text()
    checkout.path("app/main.py").write_text(source + "\n1 / 0\n")
    checkout.start(wait=False)
    page = checkout.get("/tasks")
    assert page.status_code == 500
    assert "ZeroDivisionError" in page.text
    assert "app/main.py:" in page.text
    assert "goes on serving" not in checkout.printed(), "there is no last version"
    for name in ("reload.js", "reload.css"):
        assert checkout.get(f"/development/{name}").status_code == 200
    assert checkout.get("/tasks", Host="evil.example").status_code == 403
    with checkout.client() as client:
        client.get("/tasks")
        checkout.path("app/main.py").write_text(source + "\nnothing_like_it\n")
        until(lambda: "nothing_like_it" in client.get("/tasks").text, "the page says what is broken now")
        checkout.path("app/main.py").write_text(source)
        until(lambda: client.get("/tasks").status_code == 200, "it is mended")
    assert checkout.end() == 0
    assert "Traceback" not in checkout.printed()


def test_a_worker_that_dies_is_replaced(running: Checkout) -> None:
    following(running)
    worker = int(running.get("/probe").text.split()[-1])
    os.kill(worker, signal.SIGKILL)
    with httpx.Client(transport=httpx.HTTPTransport(retries=3)) as client:
        until(lambda: client.get(f"{running.url}/probe", timeout=PATIENCE).text.split()[-1] != str(worker), "another")


# Without it, and what ends it.


@pytest.mark.parametrize("options", [("--no-reload",), ("--workers", "2")], ids=" ".join)
def test_without_it_none_of_it_is_there(checkout: Checkout, options: tuple[str, ...]) -> None:
    checkout.start(*options)
    assert "development" not in checkout.get("/tasks").text
    assert checkout.get("/development/reload.js").status_code == 404
    failed = checkout.get("/fail")
    assert failed.status_code == 500
    for word in ("asked for it", "Traceback", "app/main.py", "development"):
        assert word not in failed.text
    before = len(checkout.starts())
    checkout.edit("app/main.py", "edition 1", "edition 2")
    assert checkout.edition() == "edition 1"
    assert len(checkout.starts()) == before
    assert checkout.end() == 0


def test_a_port_that_is_taken_is_one_line_and_2(running: Checkout, checkout: Checkout) -> None:
    port = running.url.rpartition(":")[2]
    command = [sys.executable, checkout.path("server.py"), "--reload", "--no-open", "--data", checkout.data]
    ended = subprocess.run([*command, "--port", port], capture_output=True, text=True, timeout=PATIENCE)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"server.py: Port {port} is in use: stop the program that has it, or choose another with --port.\n"
    )


def test_a_damaged_file_is_one_line_and_1(checkout: Checkout) -> None:
    checkout.data.mkdir()
    (checkout.data / "app.db").write_bytes(b"no database" * 1000)
    checkout.start(wait=False)
    assert checkout.process.wait(PATIENCE) == 1
    checkout.process.stdout.close()
    (line,) = checkout.printed().splitlines()
    assert "app.db is damaged" in line


# As a terminal does it, as another program does it, and as the system does it; all other combinations take a minute.
QUICK = {
    ("serving", signal.SIGINT, "group"),
    ("starting", signal.SIGINT, "group"),
    ("starting", signal.SIGTERM, "process"),
    ("serving", signal.SIGHUP, "group"),
    ("starting", signal.SIGKILL, "process"),
}
ALL = itertools.product(("serving", "starting"), (*ENDS, signal.SIGKILL), ("process", "group"))


@pytest.mark.parametrize(
    ("when", "how", "whom"),
    [pytest.param(*each, marks=() if each in QUICK else pytest.mark.slow) for each in ALL],
)
def test_no_process_is_left_behind(checkout: Checkout, when: str, how: signal.Signals, whom: str) -> None:
    checkout.start()
    if when == "starting":
        checkout.edit("app/main.py", 'EDITION = "', 'time.sleep(1)\nEDITION = "')
        until(lambda: len(checkout.starts()) == 2, "a worker starts")
    processes = checkout.processes()
    (os.killpg if whom == "group" else os.kill)(checkout.process.pid, how)
    code = checkout.process.wait(PATIENCE)
    checkout.process.stdout.close()
    until(lambda: not any(map(lives, processes)), "every process is gone", 8)
    if how != signal.SIGKILL:
        assert code == 0
    for noise in ("Traceback", "KeyboardInterrupt", "goes on serving"):
        assert noise not in checkout.printed()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize("where", ["import", "request"])
def test_what_hangs_does_not_stay_either(checkout: Checkout, how: signal.Signals, where: str) -> None:
    checkout.start()
    if where == "import":
        checkout.edit("app/main.py", 'EDITION = "', 'time.sleep(60)\nEDITION = "')
    else:
        checkout.edit(
            "app/main.py", "    return PlainTextResponse(f", "    time.sleep(60)\n    return PlainTextResponse(f"
        )
    until(lambda: len(checkout.starts()) == 2, "a worker starts")
    if where == "request":
        until(lambda: len(checkout.processes()) == 4, "the old one is gone")
        with checkout.client() as client, pytest.raises(httpx.ReadTimeout):
            client.get("/probe", timeout=0.5)
    processes = checkout.processes()
    os.killpg(checkout.process.pid, how) if how == signal.SIGTERM else checkout.process.send_signal(how)
    checkout.process.wait(10)
    checkout.process.stdout.close()
    until(lambda: not any(map(lives, processes)), "every process is gone", 8)


@pytest.mark.slow
def test_an_import_that_an_edit_interrupts_is_taken_back_and_says_so(checkout: Checkout, tmp_path: Path) -> None:
    checkout.start()
    file = tmp_path / "many.csv"
    file.write_text("title\n" + "".join(f"Row {number}\n" for number in range(30_000)))
    with checkout.client() as client:
        with file.open("rb") as content:
            address = client.post("/imports", files={"file": content}).headers["location"]

        def state() -> str:
            return str(client.get(address, headers={"Accept": "application/json"}).json()["state"])

        until(lambda: state() == "ready", "it is read")
        client.post(f"{address}/start")
        until(lambda: client.get(address, headers={"Accept": "application/json"}).json()["rows_done"] > 0, "it begins")
        checkout.publish("edition 2")
        until(lambda: state() == "undone", "it is taken back")
        assert "The server stopped in the middle of this import." in client.get(address).text
        assert "Row 1" not in client.get("/tasks?q=Row").text
    assert checkout.end() == 0


@pytest.mark.slow
def test_500_edits_leave_neither_memory_nor_processes_behind(checkout: Checkout) -> None:
    checkout.start()
    failures: list[str] = []
    ending = threading.Event()

    def ask() -> None:
        with checkout.client() as client:
            while not ending.wait(0.02):
                try:
                    client.post("/echo", content=b"x")
                except httpx.HTTPError as error:
                    failures.append(repr(error))

    asking = threading.Thread(target=ask)
    asking.start()
    edits = int(os.environ.get("EDITS", "500"))
    sizes: list[tuple[int, int, int]] = []
    try:
        for number in range(edits):
            checkout.publish(f"edition {number + 2}")
            if number in (edits // 10, edits - 1):
                until(lambda: len(checkout.processes()) == 4, "the old worker is gone")
                sizes.append(_sizes(checkout))
    finally:
        ending.set()
        asking.join()
    print(f"{edits} edits: memory, descriptors and threads of the supervisor {sizes}")
    assert failures == []
    (early, late) = sizes
    assert late[0] - early[0] < 5_000_000
    assert late[1:] == early[1:]
    assert len(checkout.starts()) == edits + 1
    assert checkout.end() == 0


def _sizes(checkout: Checkout) -> tuple[int, int, int]:
    supervisor: Callable[[], psutil.Process] = lambda: psutil.Process(checkout.process.pid)  # noqa: E731
    return supervisor().memory_info().rss, supervisor().num_fds(), supervisor().num_threads()
