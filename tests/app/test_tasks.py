"""Tasks over HTTP: pages, fragments and plain forms, on the real server."""

import asyncio
import re
import sqlite3
from contextlib import closing
from datetime import date

import html5lib
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.records.sort_keys import sort_key
from app.tasks import KIND
from templates.tasks import Task
from tests.conftest import PLAIN, Server
from tests.engine.watching import Follower, version_of


@pytest.fixture(autouse=True)
def _empty(server: Server) -> None:
    server.empty(KIND.table, KIND.deletions)


def add(server: Server, count: int, **columns: object) -> None:
    """Add tasks called “Task 1” and so on, as another program would."""
    values = {"notes": "", "due": None, "done": 0} | columns
    server.insert("tasks", ({"title": f"Task {number}", **values} for number in range(1, count + 1)))


def titles(answer: httpx.Response) -> list[str]:
    """The titles of the rows in an answer, in order."""
    assert answer.status_code == 200, answer.text
    document = html5lib.parse(answer.text, namespaceHTMLElements=False)
    return ["".join(link.itertext()) for link in document.iterfind(".//li//a[@class='title']")]


def only(server: Server) -> sqlite3.Row:
    """The one task there is."""
    (row,) = server.sql("SELECT * FROM tasks")
    return row


def test_the_root_leads_to_the_tasks(client: httpx.Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/tasks")


def test_one_address_answers_page_and_fragment(client: httpx.Client, htmx: httpx.Client) -> None:
    page, fragment = client.get("/tasks"), htmx.get("/tasks")
    assert page.text.startswith("<!doctype html>")
    assert re.fullmatch(r'<section [^>]*id="tasks".*</section>', fragment.text, re.S)
    assert fragment.text in page.text
    restored = htmx.get("/tasks", headers={"HX-History-Restore-Request": "true"})
    assert restored.text == page.text


def test_a_form_makes_a_task(client: httpx.Client, server: Server) -> None:
    answer = client.post("/tasks", data={"title": "  Buy \n milk ", "due": "2030-01-02", "notes": "a\r\nb"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tasks")
    row = only(server)
    assert (row["title"], row["due"], row["notes"], row["done"]) == ("Buy milk", "2030-01-02", "a\nb", 0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["created_at"])
    assert row["created_at"] == row["updated_at"]


def test_json_makes_and_changes_a_task(htmx: httpx.Client, server: Server) -> None:
    assert htmx.post("/tasks", json={"title": "From a script", "due": None}).status_code == 201
    id = only(server)["id"]
    assert htmx.patch(f"/tasks/{id}", json={"done": True}).status_code == 200
    assert only(server)["done"] == 1


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"title": " \t "}, "A task needs a title."),
        ({}, "A task needs a title."),
        ({"title": "x" * 1001}, "at most 1000 characters"),
        ({"title": "x", "due": "tomorrow"}, "“tomorrow” is not a date"),
        ({"title": "x", "due": "2030-02-30"}, "“2030-02-30” is not a date"),
        ({"title": "x", "done": "maybe"}, "“done” is 1 or 0."),
    ],
)
def test_a_bad_form_is_refused_with_what_was_typed(
    client: httpx.Client, htmx: httpx.Client, server: Server, form: dict[str, str], message: str
) -> None:
    for way in (client, htmx):
        answer = way.post("/tasks", data=form)
        assert answer.status_code == 422
        assert message in answer.text
        assert f'value="{form.get("title", "")}"' in answer.text
    assert htmx.post("/tasks", data=form).headers["hx-retarget"] == "#add-task"
    assert server.sql("SELECT * FROM tasks") == []


def test_a_body_of_another_kind_is_refused(client: httpx.Client) -> None:
    answer = client.post("/tasks", content=b"title", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert client.post("/tasks", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert client.post("/tasks", json={"title": ["a"]}).status_code == 422


def test_a_cookie_header_or_address_does_not_stand_in_for_a_field(client: httpx.Client, server: Server) -> None:
    client.post("/tasks?title=query&due=2030-01-01", data={"title": "form"}, headers={"title": "header"})
    assert (only(server)["title"], only(server)["due"]) == ("form", None)
    for name in ("q", "status", "page", "sort"):
        client.cookies.set(name, "zzz")
    assert titles(client.get("/tasks", headers={"q": "zzz", "status": "zzz", "page": "zzz", "sort": "zzz"})) == ["form"]


def test_a_change_touches_what_the_form_names(htmx: httpx.Client, server: Server) -> None:
    add(server, 1, notes="kept", due="2030-01-01")
    before = only(server)
    answer = htmx.patch(f"/tasks/{before['id']}", data={"title": "New", "in": "list"})
    assert answer.text.startswith("<li")
    assert answer.headers["hx-trigger"] == "tasks-changed"
    after = only(server)
    assert (after["title"], after["notes"], after["due"]) == ("New", "kept", "2030-01-01")
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]
    htmx.patch(f"/tasks/{before['id']}", data={"due": ""})
    assert only(server)["due"] is None


def version_in(form: str) -> str:
    """Which version a form says that it has."""
    found = re.search(r'name="_version" value="(-?\d+)"', form)
    assert found, form
    return found[1]


def test_a_change_of_what_was_changed_meanwhile_is_refused_once(htmx: httpx.Client, server: Server) -> None:
    add(server, 1)
    row = only(server)
    address = f"/tasks/{row['id']}"
    form = {"title": "Mine", "_version": version_in(htmx.get(f"{address}/edit").text), "in": "list"}
    assert htmx.patch(address, data=form).status_code == 200
    refused = htmx.patch(address, data=form | {"title": "Yours", "notes": "kept"})
    assert refused.status_code == 409
    assert 'value="Yours"' in refused.text
    assert "kept</textarea>" in refused.text
    assert "its title is now “Mine”" in refused.text
    assert only(server)["title"] == "Mine"
    again = form | {"title": "Yours", "_version": version_in(refused.text)}
    assert htmx.patch(address, data=again).status_code == 200
    assert only(server)["title"] == "Yours"


def test_a_form_with_a_mistake_is_not_taken_for_newer_than_it_is(htmx: httpx.Client, server: Server) -> None:
    add(server, 1)
    address = f"/tasks/{only(server)['id']}"
    form = {"title": "", "_version": version_in(htmx.get(f"{address}/edit").text)}
    server.sql("UPDATE tasks SET title = 'Theirs'")
    refused = htmx.patch(address, data=form)
    assert refused.status_code == 422
    assert htmx.patch(address, data={"title": "Mine", "_version": version_in(refused.text)}).status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tasks SET title = 'Theirs'",
        "UPDATE tasks SET notes = notes",
        "UPDATE OR IGNORE tasks SET title = 'Theirs'",
        "UPDATE tasks SET title = 'Theirs'; UPDATE tasks SET title = 'Task 1'",
        "CREATE TEMP TABLE t AS SELECT * FROM tasks; DELETE FROM tasks; INSERT INTO tasks SELECT * FROM t",
        "UPDATE tasks SET id = 1000 + id; UPDATE tasks SET id = id - 1000",
    ],
)
def test_what_another_program_changes_is_a_conflict_though_it_leaves_the_moment(
    htmx: httpx.Client, server: Server, change: str
) -> None:
    for recursive in (False, True):
        server.sql("DELETE FROM tasks")
        add(server, 1)
        row = only(server)
        address = f"/tasks/{row['id']}"
        version = version_in(htmx.get(f"{address}/edit").text)
        for _ in range(2):
            with closing(sqlite3.connect(server.data / "app.db")) as other:
                other.execute(f"PRAGMA recursive_triggers = {recursive}")
                other.executescript(change)
                other.commit()
            assert only(server)["updated_at"] == row["updated_at"]
            changes = htmx.get(f"{address}/changes?since={version}")
            assert "Changed elsewhere in the meantime" in changes.text
            assert htmx.patch(address, data={"title": "Mine", "_version": version}).status_code == 409
            version = version_in(htmx.get(f"{address}/edit").text)
        assert htmx.patch(address, data={"title": "Mine", "_version": version}).status_code == 200


@pytest.mark.parametrize("field", ["_version", "updated_at"])
def test_of_eight_who_save_the_same_version_at_once_one_is_told_yes(server: Server, field: str) -> None:
    add(server, 1)
    address = f"{server.url}/tasks/{only(server)['id']}"

    async def save(client: httpx.AsyncClient) -> list[int]:
        seen = version_in((await client.get(f"{address}/edit")).text)
        form = {field: seen if field == "_version" else only(server)["updated_at"], "notes": "kept"}
        answers = await asyncio.gather(*(client.patch(address, data=form | {"title": f"{n}"}) for n in range(8)))
        assert only(server)["title"] in next(answer.text for answer in answers if answer.status_code == 200)
        return sorted(answer.status_code for answer in answers)

    async def rounds() -> list[list[int]]:
        async with httpx.AsyncClient(headers={"HX-Request": "true"}, **PLAIN) as client:
            return [await save(client) for _ in range(10)]

    assert asyncio.run(rounds()) == [[200, *[409] * 7]] * 10


def test_one_click_needs_no_version(htmx: httpx.Client, server: Server) -> None:
    add(server, 1)
    assert htmx.patch(f"/tasks/{only(server)['id']}", data={"done": "1", "in": "list"}).status_code == 200
    server.sql("UPDATE tasks SET title = 'Theirs'")
    assert htmx.patch(f"/tasks/{only(server)['id']}", data={"done": "0", "in": "list"}).status_code == 200
    assert (only(server)["title"], only(server)["done"]) == ("Theirs", 0)


def test_deleting_and_restoring_gives_the_same_row(client: httpx.Client, server: Server) -> None:
    add(server, 2, notes="all", due="2030-01-01", done=1)
    before = [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]
    completions = [tuple(row) for row in server.sql("SELECT * FROM completions ORDER BY 1")]
    id = before[0][0]
    answer = client.post(f"/tasks/{id}", data={"_method": "delete"})
    assert answer.headers["location"] == f"/tasks?deleted={id}"
    assert "Undo" in client.get(answer.headers["location"]).text
    assert len(server.sql("SELECT * FROM tasks")) == 1
    assert client.post(f"/tasks/{id}/restore").status_code == 303
    assert [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")] == before
    assert [tuple(row) for row in server.sql("SELECT * FROM completions ORDER BY 1")] == completions
    assert client.post(f"/tasks/{id}/restore").status_code == 404


def test_an_id_is_never_given_twice(client: httpx.Client, server: Server) -> None:
    add(server, 1)
    id = only(server)["id"]
    client.delete(f"/tasks/{id}")
    client.post("/tasks", data={"title": "Next"})
    assert only(server)["id"] > id
    assert client.post(f"/tasks/{id}/restore").status_code == 303


def test_the_way_back_never_leads_elsewhere(client: httpx.Client, server: Server) -> None:
    add(server, 1)
    path = f"/tasks/{only(server)['id']}"
    for referer, back in (
        (f"{server.url}/tasks?q=a", "/tasks?q=a"),
        (f"{server.url}//example.org/", "/example.org/"),
        (f"{server.url}/\\example.org", "/example.org"),
        ("http://example.org/tasks", "/tasks"),
        (f"{server.url}.example.org/", "/tasks"),
    ):
        answer = client.post(path, data={"done": "1"}, headers={"referer": referer})
        assert answer.headers["location"] == back, referer


def test_what_is_gone_is_404(client: httpx.Client, htmx: httpx.Client, server: Server) -> None:
    for path in ("/tasks/9", "/tasks/9/edit", "/tasks/x", f"/tasks/{2**70}", "/tasks/-1"):
        assert client.get(path).status_code == 404, path
    assert client.patch("/tasks/9", data={"title": "x"}).status_code == 404
    assert client.delete("/tasks/9").status_code == 404
    gone = htmx.delete("/tasks/9")
    assert gone.headers["hx-retarget"] == "#toasts"
    assert "This task is gone" in gone.text


def test_a_wrong_address_of_a_list_is_said(client: httpx.Client) -> None:
    pages = ["page=0", "page=-1", "page=x", "page=²", f"page={'9' * 30}"]
    for query in ["status=some", "sort=colour", *pages, "q=" + "x" * 1001]:
        assert client.get(f"/tasks?{query}").status_code == 400, query
    assert client.get("/tasks?page=999999999").status_code == 200
    assert client.get("/tasks?q=&status=&sort=&page=").status_code == 200


def test_lists_are_filtered_ordered_and_paged(client: httpx.Client, server: Server) -> None:
    server.sql(
        "INSERT INTO tasks (title, due, done) VALUES ('b', '2030-01-02', 0), ('C', NULL, 1), ('a', '2030-01-01', 0)"
    )
    assert titles(client.get("/tasks")) == ["a", "C", "b"]
    assert titles(client.get("/tasks?sort=oldest")) == ["b", "C", "a"]
    assert titles(client.get("/tasks?sort=title")) == ["a", "b", "C"]
    assert titles(client.get("/tasks?sort=due")) == ["a", "b", "C"]
    assert titles(client.get("/tasks?status=open")) == ["a", "b"]
    assert titles(client.get("/tasks?status=done")) == ["C"]
    add(server, 50)
    every = [title for page in (1, 2, 3) for title in titles(client.get(f"/tasks?page={page}&sort=oldest"))]
    assert every == ["b", "C", "a", *[f"Task {number}" for number in range(1, 51)]]


def test_the_order_by_title_goes_with_each_filter(client: httpx.Client, server: Server) -> None:
    server.insert("tasks", ({"title": f"Task {number}", "done": 1} for number in range(40)))
    for name in ("zebra", "éclair", "Äpfel"):
        client.post("/tasks", data={"title": name})
    assert titles(client.get("/tasks?sort=title&status=open")) == ["Äpfel", "éclair", "zebra"]
    assert len(titles(client.get("/tasks?sort=title&status=done&page=2"))) == 20
    assert len(titles(client.get("/tasks?sort=title&page=3"))) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "title": st.text("abAB ", min_size=1).filter(str.strip),
                "due": st.none() | st.dates(date(2030, 1, 1), date(2030, 1, 9)).map(str),
                "done": st.integers(0, 1),
            }
        ),
        max_size=30,
    ),
    st.sampled_from(["newest", "oldest", "due", "title"]),
    st.sampled_from(["all", "open", "done"]),
)
def test_pages_together_are_the_whole_list_in_order(
    htmx: httpx.Client, server: Server, tasks: list[dict[str, object]], sort: str, status: str
) -> None:
    server.empty(KIND.table)
    if tasks:
        server.insert("tasks", tasks)
    if sort == "title":
        server.until_indexed()
    shown: list[str] = []
    for page in range(1, 4):
        text = htmx.get(f"/tasks?sort={sort}&status={status}&page={page}").text
        shown += re.findall(r'<li [^>]*?id="task-(\d+)"', text)
    rows = [row for row in server.sql("SELECT * FROM tasks") if status == "all" or row["done"] == (status == "done")]
    orders = {
        "newest": lambda row: -row["id"],
        "oldest": lambda row: row["id"],
        "due": lambda row: (row["due"] is None, row["due"] or "", row["id"]),
        "title": lambda row: (sort_key(row["title"]), row["id"]),
    }
    assert shown == [str(row["id"]) for row in sorted(rows, key=orders[sort])]


def test_the_counts_are_right_whoever_writes(client: httpx.Client, server: Server) -> None:
    add(server, 3)
    server.sql("UPDATE tasks SET done = 1 WHERE title = 'Task 1'")
    client.post("/tasks", data={"title": "x"})
    server.sql("DELETE FROM tasks WHERE title = 'Task 2'")
    text = re.sub("<[^>]+>", "", client.get("/tasks").text)
    assert "All 3Open 2Done 1" in text
    server.sql("UPDATE tasks SET done = 1 - done")
    assert "All 3Open 1Done 2" in re.sub("<[^>]+>", "", client.get("/tasks").text)


def test_the_chart_counts_days_of_the_persons_zone(client: httpx.Client, server: Server) -> None:
    add(server, 1, done=1)
    # The last half past ten in UTC, which is another day in each of these zones.
    server.sql("UPDATE completions SET completed_at = strftime('%Y-%m-%dT10:30:00.000Z', 'now', '-630 minutes')")
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "nonsense", "../../etc/passwd"):
        client.cookies.set("timezone", zone)
        answer = client.get("/summary")
        assert answer.status_code == 200
        assert "1 done in the last 14 days" in answer.text


def test_foreign_writes_show_at_the_next_request(htmx: httpx.Client, server: Server) -> None:
    assert titles(htmx.get("/tasks")) == []
    server.sql("INSERT INTO tasks (title) VALUES ('From outside')")
    assert titles(htmx.get("/tasks")) == ["From outside"]


def test_foreign_writes_cannot_break_the_page(server: Server) -> None:
    for values in ("('', NULL, 0)", "('x', 'soon', 0)", "('x', '2030-02-31', 0)", "('x', NULL, 2)"):
        with pytest.raises(sqlite3.IntegrityError):
            server.sql(f"INSERT INTO tasks (title, due, done) VALUES {values}")


def test_persons_are_told_what_they_see_themselves(server: Server) -> None:
    """Where it is tomorrow already, what is due today elsewhere is late."""
    server.sql("INSERT INTO tasks (title, due) VALUES ('Due', date('now'))")
    east, west = "timezone=Pacific%2FKiritimati", "timezone=Pacific%2FPago_Pago"
    for cookie in (east, west):
        with Follower(server.url, cookie) as follower:
            follower.watch(("tasks", "/tasks", None))
            assert follower.next() == ("tasks", version_of(server.url, "/tasks", cookie))
    assert version_of(server.url, "/tasks", east) != version_of(server.url, "/tasks", west)


def test_imports_and_exports_know_every_column() -> None:
    assert sorted(KIND.columns) == sorted(Task._fields)


@pytest.mark.parametrize("due", ["0000-01-01", "-0001-01-01", "next week", "2026-1-1", -1.5, b"\xff", ""])
def test_a_date_that_is_none_takes_no_page_away_and_is_shown_as_it_stands(
    client: httpx.Client, server: Server, due: object
) -> None:
    """SQLite knows years that Python does not, and another program can tell it to look at no rule."""
    with closing(sqlite3.connect(server.data / "app.db")) as other, other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute("INSERT INTO tasks (title, due) VALUES ('odd', ?)", [due])
    add(server, 1)
    id = server.sql("SELECT id FROM tasks WHERE title = 'odd'")[0]["id"]
    shown = due.decode(errors="replace") if isinstance(due, bytes) else str(due)
    for page in ("/tasks", "/tasks?q=odd", "/tasks?sort=due", f"/tasks/{id}", f"/tasks/{id}/edit"):
        answer = client.get(page)
        assert answer.status_code == 200, page
        assert shown in answer.text
    for page in ("/summary", "/export.json", "/export.csv"):
        assert client.get(page).status_code == 200, page
    # A field for dates would show nothing, and the next save would empty it.
    form = client.get(f"/tasks/{id}/edit").text
    assert ('type="date" name="due"' in form) == (due == "")
    assert client.post(f"/tasks/{id}", data={"title": "odd", "due": shown}).status_code == (422 if shown else 303)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "nothing to change here: send one of title, notes, due, done"),
        ({"_version": "0", "in": "list"}, "nothing to change here"),
        ({"titel": "New"}, "no field “titel” here. The fields are title, notes, due, done."),
        ({"title": "New", "deu": "2030-01-02"}, "no field “deu” here"),
    ],
)
def test_a_form_that_changes_nothing_or_names_an_unknown_field_is_refused(
    client: httpx.Client, htmx: httpx.Client, server: Server, form: dict[str, str], message: str
) -> None:
    add(server, 1)
    before = tuple(only(server))
    address = f"/tasks/{only(server)['id']}"
    for answer in (client.post(address, data=form), htmx.patch(address, data=form), client.patch(address, json=form)):
        assert answer.status_code == 422
        assert message in answer.text
    assert tuple(only(server)) == before
    assert server.sql("SELECT * FROM row_versions WHERE table_name = 'tasks'") == []
    assert client.post("/tasks", data={"title": "Second", "deu": "2030-01-02"}).status_code == 422
    assert tuple(only(server)) == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE task_counts SET tasks = 'many'",
        "UPDATE task_counts SET tasks = x'00ff' WHERE done = 1",
        "UPDATE task_counts SET tasks = -5 WHERE done = 0",
        "UPDATE task_counts SET tasks = 2.5 WHERE done = 0",
        "DELETE FROM task_counts WHERE done = 1",
        "DELETE FROM task_counts",
        "INSERT INTO task_counts VALUES (7, 'x')",
    ],
)
def test_where_the_kept_counts_make_no_sense_the_tasks_are_counted(
    client: httpx.Client, server: Server, change: str
) -> None:
    add(server, 3)
    add(server, 2, done=1)
    before = client.get("/tasks").text, client.get("/summary").text
    try:
        server.sql(change)
        assert (client.get("/tasks").text, client.get("/summary").text) == before
    finally:
        server.sql("DELETE FROM task_counts")
        for done, count in ((0, 3), (1, 2)):
            server.sql("INSERT INTO task_counts VALUES (?, ?)", [done, count])
