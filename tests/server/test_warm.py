"""What a worker has from the warm process is never older than the file it was read from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reloading import Checkout, until


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A copy of the project, not running yet."""
    checkout = Checkout(tmp_path)
    yield checkout
    checkout.end_anyhow()


def test_what_imports_an_edited_template_is_read_anew_with_it(checkout: Checkout) -> None:
    checkout.start()
    # Drawn by templates/tasks.py, which has the function by its name.
    checkout.edit("templates/chart.py", '"Done per day"', '"Finished per day"')
    until(lambda: "Finished per day" in checkout.get("/tasks").text, "the chart has another title")
    checkout.edit("templates/chart.py", '"Finished per day"', '"Ended per day"')
    until(lambda: "Ended per day" in checkout.get("/tasks").text, "and another one")


def test_an_edit_of_the_engine_is_served(checkout: Checkout) -> None:
    checkout.start()
    checkout.edit("server/fragments.py", '"HX-Request, ', '"X-Engine, HX-Request, ')
    until(lambda: "X-Engine" in checkout.get("/tasks").headers["vary"], "the engine is another")


def test_an_edit_of_what_the_workers_begin_with_is_served(checkout: Checkout) -> None:
    checkout.start()
    checkout.edit(
        "server/handover.py", "    config.load()\n", "    config.load()\n        config.date_header = False\n"
    )
    until(lambda: "date" not in checkout.get("/healthz").headers, "the worker is another")
    assert checkout.end() == 0


def test_a_module_that_is_new_and_one_that_is_gone_count_at_once(checkout: Checkout) -> None:
    checkout.start()
    chart = checkout.path("templates/chart.py")
    checkout.path("templates/bars.py").write_text(chart.read_text().replace("Done per day", "Bars"))
    checkout.edit("templates/tasks.py", "from templates.chart import", "from templates.bars import")
    until(lambda: "Bars" in checkout.get("/tasks").text, "the new module draws")
    chart.unlink()
    checkout.edit("templates/tasks.py", "from templates.bars import", "from templates.chart import")
    until(lambda: "No module named 'templates.chart'" in checkout.printed(), "the old one is gone")
    assert "Bars" in checkout.get("/tasks").text


@pytest.mark.parametrize("words", ["def (", "raise ValueError('at its head')"])
def test_a_module_that_is_broken_from_the_start_is_told_of_and_can_be_mended(checkout: Checkout, words: str) -> None:
    chart = checkout.path("templates/chart.py")
    before = chart.read_text()
    chart.write_text(f"{before}\n{words}\n")
    checkout.start(wait=False)
    until(lambda: "chart.py" in checkout.get("/tasks").text, "the page says where")
    chart.write_text(before)
    until(lambda: checkout.get("/tasks").status_code == 200, "it is mended")
