"""What a worker has from the warm process is never older than the file it was read from."""

from tests.engine.reloading import Checkout, until


def test_what_imports_an_edited_template_is_read_anew_with_it(running: Checkout) -> None:
    # Drawn by templates/layout.py, which has the function by its name.
    running.edit("templates/parts/live.py", 'hx_swap="none", ', 'hx_swap="none", title="Another", ')
    until(lambda: "Another" in running.get("/tasks").text, "the link has a title")
    running.edit("templates/parts/live.py", 'title="Another", ', "")
    until(lambda: "Another" not in running.get("/tasks").text, "and none again")


def test_an_edit_of_the_engine_is_served(running: Checkout) -> None:
    running.edit("server/fragments.py", '"HX-Request, ', '"X-Engine, HX-Request, ')
    until(lambda: "X-Engine" in running.get("/tasks").headers["vary"], "the engine is another")


def test_an_edit_of_what_the_workers_begin_with_is_served(running: Checkout) -> None:
    running.edit(
        "server/reload/handover.py", "    config.load()\n", "    config.load()\n        config.date_header = False\n"
    )
    until(lambda: "date" not in running.get("/healthz").headers, "the worker is another")


def test_a_module_that_is_new_and_one_that_is_gone_count_at_once(running: Checkout) -> None:
    live, source = (
        running.path("templates/parts/live.py"),
        running.path("templates/parts/live.py").read_text(encoding="utf-8"),
    )
    running.path("templates/links.py").write_text(
        source.replace('hx_swap="none", ', 'hx_swap="none", title="Links", '), encoding="utf-8"
    )
    running.edit("templates/layout.py", "from templates.parts.live import", "from templates.links import")
    until(lambda: 'title="Links"' in running.get("/tasks").text, "the new module draws")
    live.unlink()
    running.edit("templates/layout.py", "from templates.links import", "from templates.parts.live import")
    until(lambda: "No module named 'templates.parts.live'" in running.printed(), "the old one is gone")
    assert 'title="Links"' in running.get("/tasks").text
    live.write_text(source, encoding="utf-8")
    until(lambda: 'title="Links"' not in running.get("/tasks").text, "it is back")


def test_what_one_worker_had_to_import_the_next_one_has(running: Checkout) -> None:
    running.edit("app/main.py", "EDITION = ", 'KNOWN = "colorsys" in sys.modules\nimport colorsys  # noqa\nEDITION = ')
    running.edit("app/main.py", '{os.getpid()}")', '{os.getpid()}", headers={"known": str(KNOWN)})')
    until(lambda: running.get("/probe").headers.get("known") == "False", "it is served")

    def is_known() -> bool:
        running.publish()
        return running.get("/probe").headers["known"] == "True"

    until(is_known, "it was there before it was imported")


def test_where_the_warm_process_is_gone_edits_are_served_all_the_same(running: Checkout) -> None:
    warm = next(process for process in running.processes() if process.ppid() == running.process.pid)
    warm.kill()
    for _ in range(2):
        running.publish()
    assert running.printed().count("The process that workers are made from is gone") == 1
