"""Following the code: what counts as an edit, what becomes of one that does not work, and that nothing stays behind."""

import itertools
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from server.app_name import PREFIX
from server.reload.supervisor import SAME_EDIT_SECONDS
from tests.engine.conftest import PLAIN, Server
from tests.engine.reloading import PATIENCE, Checkout, lives, until

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_numbers = itertools.count(2)


@pytest.fixture
def beside(tmp_path: Path, running: Checkout) -> Iterator[Checkout]:
    """Another server of the same code with data of its own, not running yet; the code is then as it was."""
    main = running.path("app/main.py")
    source = main.read_text(encoding="utf-8")
    checkout = Checkout(tmp_path, beside=running)
    yield checkout
    checkout.end_anyhow()
    if main.read_text(encoding="utf-8") != source:
        main.write_text(source, encoding="utf-8")


START_SECONDS = 0.15


def following(running: Checkout) -> int:
    """How often the app has been started once an edit from now on is served: what came before it has been seen."""
    running.publish()
    # Who serves it may have begun before it was saved, and read it all the same: then one more start follows, at once.
    starts, since = running.starts(), time.monotonic()
    while time.monotonic() - since < START_SECONDS:
        time.sleep(0.01)
        if running.starts() != starts:
            starts, since = running.starts(), time.monotonic()
    return len(starts)


# What is an edit, and how many there are.


def test_an_edit_of_a_template_is_served(running: Checkout) -> None:
    words = f"Tasks, {next(_numbers)}"
    running.path("templates/tasks.py").write_text(
        re.sub(r'H1\("Tasks[^"]*"', f'H1("{words}"', running.path("templates/tasks.py").read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    until(lambda: words in running.get("/tasks").text, "the template is served")


def test_to_save_without_a_change_does_nothing_nor_does_what_is_no_code(running: Checkout) -> None:
    before = following(running)
    main = running.path("app/main.py")
    main.write_text(main.read_text(encoding="utf-8"), encoding="utf-8")
    main.touch()
    for name in (
        "app/.main.py.swp", "app/4913", "app/main.py~", "app/.#main.py", "app/#main.py#", "app/notes.txt",
        "app/__pycache__/main.py", "templates/.tasks.py", "static/.app.css.swx", "static/app.css~", "README.md",
    ):  # fmt: skip
        running.path(name).write_text("x = 1\n", encoding="utf-8")
    running.path("tests").mkdir(exist_ok=True)
    running.path("tests/test_main.py").write_text("x = 1\n", encoding="utf-8")
    (running.data / "code.py").write_text("x = 1\n", encoding="utf-8")
    # What comes after all of that is one start.
    assert following(running) == before + 1


def test_five_files_at_once_are_one_reload(running: Checkout) -> None:
    before = following(running)
    for number in range(5):
        running.path(f"templates/page_{number}.py").write_text(f"NUMBER = {time.time_ns()}\n", encoding="utf-8")
    until(lambda: len(running.starts()) > before, "it is reloaded")
    assert following(running) == before + 2, "once, and once for the edit that shows that there was no other"


def test_a_checkout_of_a_hundred_files_is_one_reload(running: Checkout) -> None:
    def git(*words: str) -> None:
        command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", running.root, *words]
        subprocess.run(command, check=True, capture_output=True)

    def pages(text: str) -> None:
        for number in range(100):
            running.path(f"templates/page_{number}.py").write_text(text, encoding="utf-8")

    git("init", "--initial-branch", "one")
    pages("NUMBER = 1\n")
    git("add", "templates/*.py")  # A project's .gitignore leaves caches out.
    git("commit", "-m", "One")
    git("checkout", "-b", "two")
    pages("NUMBER = 2\n")
    git("commit", "-am", "Two")
    before = following(running)
    git("checkout", "one")
    until(lambda: len(running.starts()) > before, "it is reloaded")
    assert following(running) == before + 2


def test_a_save_as_editors_do_it_is_an_edit(running: Checkout) -> None:
    """A new file that is moved over the old one."""
    main, edition = running.path("app/main.py"), f"moved over {next(_numbers)}"
    before = len(running.starts())
    new = running.path("app/.main.py.new")
    new.write_text(
        re.sub(r'EDITION = ".*"', f'EDITION = "{edition}"', main.read_text(encoding="utf-8")), encoding="utf-8"
    )
    new.replace(main)
    until(lambda: running.edition() == edition, "it is served")
    assert len(running.starts()) == before + 1


def test_files_that_come_and_go_are_edits(running: Checkout) -> None:
    before = following(running)
    page = running.path("templates/short_lived.py")
    page.write_text("NUMBER = 1\n", encoding="utf-8")
    until(lambda: len(running.starts()) == before + 1, "a new file")
    until(lambda: len(running.processes()) == 4, "the old worker is gone")
    page.unlink()
    until(lambda: len(running.starts()) == before + 2, "a file that was deleted")


def test_saves_during_a_reload_are_one_more_reload_of_the_last_one(running: Checkout, tmp_path: Path) -> None:
    before = following(running)
    main, gate = running.path("app/main.py"), tmp_path / "gate"
    source = main.read_text(encoding="utf-8")
    # It starts, but for longer than what belongs to the same edit, and then waits for the gate.
    held = f"time.sleep({2 * SAME_EDIT_SECONDS})\nwith open(os.environ"
    waits = f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\nEDITION ="
    main.write_text(source.replace("with open(os.environ", held).replace("EDITION =", waits, 1), encoding="utf-8")
    until(lambda: len(running.starts()) == before + 1, "a worker starts")
    time.sleep(SAME_EDIT_SECONDS)  # What is saved sooner belongs to the same edit, and the start begins anew.
    last = f"last {next(_numbers)}"
    for edition in ("lost 1", "lost 2", "lost 3", last):
        main.write_text(re.sub(r'EDITION = ".*"', f'EDITION = "{edition}"', source), encoding="utf-8")
        said = running.printed().count("pyproject.toml changed")
        running.path("pyproject.toml").write_text(
            running.path("pyproject.toml").read_text(encoding="utf-8") + "\n", encoding="utf-8"
        )
        # What was saved before that has been seen then.
        until(lambda said=said: running.printed().count("pyproject.toml changed") > said, "it is seen")
    gate.touch()
    until(lambda: running.edition() == last, "the last one is served")
    assert following(running) == before + 3


def test_two_saves_of_one_length_within_a_second_are_both_seen(running: Checkout) -> None:
    """Python takes compiled code for that of a source of the same length and second."""
    main = running.path("app/main.py")
    for edition in ("edition A", "edition B", "edition A", "edition B"):
        main.write_text(
            re.sub(r'EDITION = ".*"', f'EDITION = "{edition}"', main.read_text(encoding="utf-8")), encoding="utf-8"
        )
        until(lambda edition=edition: running.edition() == edition, f"{edition} is served")


def test_saves_of_one_length_while_a_worker_starts_are_seen_too(running: Checkout) -> None:
    tasks = running.path("templates/tasks.py")
    source = re.sub(r'H1\("Tasks[^"]*"', 'H1("Tasks, 00"', tasks.read_text(encoding="utf-8"))
    for _ in range(2):
        for letter in "ABCDEFGH":
            tasks.write_text(source.replace("Tasks, 00", f"Tasks, {letter * 2}"), encoding="utf-8")
            time.sleep(0.03)
        until(lambda: "Tasks, HH" in running.get("/tasks").text, "the last one is served")


def test_what_needs_a_new_start_is_said_each_time(running: Checkout) -> None:
    before = following(running)
    for number, name in enumerate(("pyproject.toml", "pyproject.toml", "uv.lock")):
        said = running.printed().count(f"{name} changed: stop the server and start it again")
        new = running.path(f"{name}.new")
        new.write_text(running.path(name).read_text(encoding="utf-8") + f"# {number}\n", encoding="utf-8")
        # As uv and most editors write: by moving a new file over the old one.
        new.replace(running.path(name))
        words = f"{name} changed: stop the server and start it again"
        until(lambda words=words, said=said: running.printed().count(words) == said + 1, f"{name} {number}")
    assert following(running) == before + 1


def test_an_edit_of_what_watches_needs_a_new_start_too(running: Checkout) -> None:
    running.edit("server/reload/supervisor.py", "SAME_EDIT_SECONDS = 0.05", "SAME_EDIT_SECONDS = 0.06")
    until(lambda: "server/reload/supervisor.py changed: the app has it" in running.printed(), "it is said")
    running.edit("server/live/endpoint.py", "import asyncio", "import asyncio  # noqa")
    following(running)
    assert "server/live/endpoint.py changed" not in running.printed()


def test_settings_stay_where_the_project_gets_another_name(running: Checkout) -> None:
    running.edit("server/app_name.py", f'PREFIX = "{PREFIX}"', 'PREFIX = "ANOTHER_"')
    following(running)
    page = running.get("/tasks")
    assert "/development/reload.js" in page.text
    assert not (running.root / "data").exists(), "its data is where it was"
    running.edit("server/app_name.py", 'PREFIX = "ANOTHER_"', f'PREFIX = "{PREFIX}"')
    following(running)


# What does not work.


BROKEN = {
    "syntax": ("templates/tasks.py", "def add_form(", "def add_form(:", "SyntaxError: "),
    "import": ("app/tasks.py", "\nfrom app", "\nimport nothing_like_it\nfrom app", "No module named 'nothing_like_it'"),
    "engine": ("server/live/messages.py", "def parse(", "def parse(:", "SyntaxError: "),
    "start": ("app/main.py", "db.open(database)", "raise RuntimeError('at start')", "RuntimeError: at start"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_the_last_version_serves_while_an_edit_is_broken_and_it_is_said_once(running: Checkout, kind: str) -> None:
    name, old, new, message = BROKEN[kind]
    edition, source, at = running.publish(), running.path(name).read_text(encoding="utf-8"), len(running.printed())
    assert old in source
    running.path(name).write_text(source.replace(old, new, 1), encoding="utf-8")
    until(lambda: message in running.printed()[at:], "it is said")
    assert running.edition() == edition
    running.path(name).write_text(source, encoding="utf-8")
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


def test_a_migration_that_fails_changes_nothing_and_the_last_version_serves(running: Checkout) -> None:
    following(running)
    at = len(running.printed())
    source = running.path("app/migrations.py").read_text(encoding="utf-8")
    running.path("app/migrations.py").write_text(source + MIGRATION, encoding="utf-8")
    until(lambda: "nothing_like_it" in running.printed()[at:], "it is said")
    until(lambda: "app/migrations.py:" in running.printed()[at:], "where it is")
    with running.client() as client:
        assert client.post("/tasks", data={"title": "Still here"}).status_code == 303
    with sqlite3.connect(running.data / "app.db") as file:
        assert not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()
    file.close()
    running.path("app/migrations.py").write_text(source, encoding="utf-8")
    until(lambda: "Mended." in running.printed()[at:], "it is mended")
    assert "Still here" in running.get("/tasks").text


def test_broken_at_the_first_start_a_page_says_so_and_what_is_broken_next(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    lists, main = checkout.path("templates/parts/lists.py"), checkout.path("app/main.py")
    sources = {path: path.read_text(encoding="utf-8") for path in (lists, main)}
    lists.write_text(sources[lists] + "\ndef (\n", encoding="utf-8")
    try:
        checkout.start(wait=False)
        page = checkout.get("/tasks")
        assert page.status_code == 500
        assert "SyntaxError" in page.text
        assert "templates/parts/lists.py:" in page.text
        assert "goes on serving" not in checkout.printed(), "there is no last version"
        for name in ("reload.js", "reload.css"):
            assert checkout.get(f"/development/{name}").status_code == 200
        assert checkout.get("/tasks", Host="evil.example").status_code == 403
        with checkout.client() as client:
            client.get("/tasks")
            main.write_text(sources[main] + "\nnothing_like_it\n", encoding="utf-8")
            lists.write_text(sources[lists], encoding="utf-8")
            until(lambda: "nothing_like_it" in client.get("/tasks").text, "the page says what is broken now")
            main.write_text(sources[main], encoding="utf-8")
            until(lambda: client.get("/tasks").status_code == 200, "it is mended")
        assert checkout.end() == 0
        assert "Traceback" not in checkout.printed()
    finally:
        checkout.end_anyhow()


def test_a_worker_that_dies_is_replaced(running: Checkout) -> None:
    following(running)
    worker = int(running.get("/probe").text.split()[-1])
    os.kill(worker, signal.SIGKILL)
    with httpx.Client(transport=httpx.HTTPTransport(retries=3, verify=False)) as client:
        until(lambda: client.get(f"{running.url}/probe", timeout=PATIENCE).text.split()[-1] != str(worker), "another")


# Without it, and what ends it.


def test_without_it_none_of_it_is_there(server: Server) -> None:
    with httpx.Client(base_url=server.url, **PLAIN) as client:
        assert "development" not in client.get("/tasks").text
        assert client.get("/development/reload.js").status_code == 404


def test_several_workers_are_without_it(beside: Checkout) -> None:
    beside.start("--workers", "2")
    assert "development" not in beside.get("/tasks").text
    assert beside.get("/development/reload.js").status_code == 404
    failed = beside.get("/fail")
    assert failed.status_code == 500
    for word in ("asked for it", "Traceback", "app/main.py", "development"):
        assert word not in failed.text
    until(lambda: len(beside.starts()) == 3, "both have begun, and before them who looks whether there is an app")
    edition = beside.edition()
    beside.edit("app/main.py", f'EDITION = "{edition}"', 'EDITION = "another"')
    assert beside.edition() == edition
    assert len(beside.starts()) == 3
    assert beside.end() == 0


def test_a_port_that_is_taken_is_one_line_and_2(running: Checkout, beside: Checkout) -> None:
    port = running.url.rpartition(":")[2]
    command = [sys.executable, beside.path("server.py"), "--reload", "--no-open", "--data", beside.data]
    ended = subprocess.run([*command, "--port", port], capture_output=True, encoding="utf-8", timeout=PATIENCE)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"server.py: Port {port} is in use: stop the program that has it, or choose another with --port.\n"
    )


def test_a_damaged_file_is_one_line_and_1(beside: Checkout) -> None:
    beside.data.mkdir()
    (beside.data / "app.db").write_bytes(b"no database" * 1000)
    beside.start(wait=False)
    assert beside.process.wait(PATIENCE) == 1
    beside.process.stdout.close()
    (line,) = beside.printed().splitlines()
    assert "app.db is damaged" in line


# As a terminal does it, and as the system does it; `running` is ended as another program does it. All take a minute.
QUICK = {
    ("starting", signal.SIGINT, "group"),
    ("serving", signal.SIGHUP, "group"),
    ("starting", signal.SIGKILL, "process"),
}
ALL = itertools.product(("serving", "starting"), (*ENDS, signal.SIGKILL), ("process", "group"))


@pytest.mark.parametrize(
    ("when", "how", "whom"),
    [pytest.param(*each, marks=() if each in QUICK else pytest.mark.slow) for each in ALL],
)
def test_no_process_is_left_behind(
    beside: Checkout, hears_hangup: None, when: str, how: signal.Signals, whom: str
) -> None:
    beside.start()
    if when == "starting":
        beside.edit("app/main.py", 'EDITION = "', 'time.sleep(1)\nEDITION = "')
        until(lambda: len(beside.starts()) == 2, "a worker starts")
    processes = beside.processes()
    (os.killpg if whom == "group" else os.kill)(beside.process.pid, how)
    code = beside.process.wait(PATIENCE)
    beside.process.stdout.close()
    until(lambda: not any(map(lives, processes)), "every process is gone", 8)
    if how != signal.SIGKILL:
        assert code == 0
    for noise in ("Traceback", "KeyboardInterrupt", "goes on serving"):
        assert noise not in beside.printed()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
@pytest.mark.parametrize("where", ["import", "request"])
def test_what_hangs_does_not_stay_either(beside: Checkout, how: signal.Signals, where: str) -> None:
    beside.start()
    if where == "import":
        beside.edit("app/main.py", 'EDITION = "', 'time.sleep(60)\nEDITION = "')
    else:
        beside.edit(
            "app/main.py", "    return PlainTextResponse(f", "    time.sleep(60)\n    return PlainTextResponse(f"
        )
    until(lambda: len(beside.starts()) == 2, "a worker starts")
    if where == "request":
        until(lambda: not psutil.pid_exists(beside.starts()[0]), "the old one is gone")
        with beside.client() as client, pytest.raises(httpx.ReadTimeout):
            client.get("/probe", timeout=0.5)
    processes = beside.processes()
    os.killpg(beside.process.pid, how) if how == signal.SIGTERM else beside.process.send_signal(how)
    beside.process.wait(10)
    beside.process.stdout.close()
    until(lambda: not any(map(lives, processes)), "every process is gone", 8)


@pytest.mark.slow
def test_a_signal_at_any_moment_of_a_start_is_a_clean_end(beside: Checkout) -> None:
    """While another process takes the processor."""
    generator = random.Random(5)
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for _ in range(60):
            beside.start(wait=False)
            time.sleep(generator.choice((0, generator.uniform(0, 1.5))))
            beside.process.send_signal(generator.choice((signal.SIGINT, signal.SIGTERM)))
            processes = beside.processes()
            assert beside.process.wait(5) == 0
            beside.process.stdout.close()
            until(lambda processes=processes: not any(map(lives, processes)), "every process is gone", 5)
    finally:
        busy.kill()
        busy.wait()
    assert "Traceback" not in beside.printed()


@pytest.mark.slow
def test_with_nohup_it_goes_on_when_the_terminal_closes(beside: Checkout) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        beside.start()
    finally:
        signal.signal(signal.SIGHUP, before)
    os.killpg(beside.process.pid, signal.SIGHUP)
    assert beside.get("/healthz").status_code == 200
    assert beside.end() == 0


@pytest.mark.slow
def test_an_import_that_an_edit_interrupts_is_taken_back_and_says_so(beside: Checkout, tmp_path: Path) -> None:
    beside.start()
    file = tmp_path / "many.csv"
    file.write_text("title\n" + "".join(f"Row {number}\n" for number in range(30_000)), encoding="utf-8")
    with beside.client() as client:
        with file.open("rb") as content:
            address = client.post("/imports", files={"file": content}).headers["location"]

        def state() -> str:
            return str(client.get(address, headers={"Accept": "application/json"}).json()["state"])

        until(lambda: state() == "ready", "it is read")
        client.post(f"{address}/start")
        until(lambda: client.get(address, headers={"Accept": "application/json"}).json()["rows_done"] > 0, "it begins")
        beside.publish()
        until(lambda: state() == "undone", "it is taken back")
        assert "The server stopped in the middle of this import." in client.get(address).text
        assert "Row 1" not in client.get("/tasks?q=Row").text
    assert beside.end() == 0


@pytest.mark.slow
def test_500_edits_leave_neither_memory_nor_processes_behind(beside: Checkout) -> None:
    beside.start()
    failures: list[str] = []
    ending = threading.Event()

    def ask() -> None:
        with beside.client() as client:
            while not ending.wait(0.02):
                try:
                    client.post("/echo", content=b"x")
                except httpx.HTTPError as error:
                    failures.append(repr(error))

    asking = threading.Thread(target=ask)
    asking.start()
    edits = int(os.environ.get("EDITS", "500"))
    sizes: list[tuple[int, int, int, int]] = []
    try:
        for number in range(edits):
            beside.publish()
            if number in (edits // 10, edits - 1):
                until(lambda: len(beside.processes()) == 4, "the old worker is gone")
                sizes.append(_sizes(beside))
    finally:
        ending.set()
        asking.join()
    print(f"{edits} edits: memory, processes, descriptors and threads early and late {sizes}")
    assert failures == []
    (early, late) = sizes
    assert late[0] < early[0] * 1.1
    assert late[1:] == early[1:]
    assert len(beside.starts()) == edits + 1
    assert beside.end() == 0


def _sizes(checkout: Checkout) -> tuple[int, int, int, int]:
    """Memory of all processes, how many there are, descriptors and threads of the supervisor."""
    processes = checkout.processes()
    memory = sum(process.memory_full_info().uss for process in processes)
    return memory, len(processes), processes[0].num_fds(), processes[0].num_threads()
