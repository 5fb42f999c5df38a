"""A new feature in an open page: one command, nothing loaded anew, and gone again with another."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from server.app_name import NAME
from tests.engine.project import Project
from tests.engine.reloading import Checkout
from tests.engine.subject import HAS_EXAMPLE

pytestmark = pytest.mark.slow


class Clone(Checkout):
    """A clone of the project under git, and the server that follows its code."""

    def __init__(self, directory: Path) -> None:
        self.project = Project(directory / "checkout")
        self.root = self.project.root
        self.data = directory / "data"
        self.probe = directory / "starts"
        self.log = directory / "log"
        self.process: Any = None
        self.url = ""


@pytest.fixture(params=["with the example", "without a feature"])
def clone(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Clone]:
    clone = Clone(tmp_path)
    if request.param == "without a feature":
        assert clone.project.run("rename", NAME, "--without-example", "--data", clone.data).returncode == 0
        clone.project.commit()
    elif not HAS_EXAMPLE:
        pytest.skip("the example is gone from this project")
    yield clone.start()
    clone.end_anyhow()


@pytest.fixture
def page(chromium: Any, clone: Clone) -> Iterator[Page]:
    context = chromium.new_context(base_url=clone.url, locale="en-GB")
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def run(clone: Clone, *arguments: str) -> None:
    """`python3 server.py …` in the clone, beside the server that runs there."""
    command = [
        sys.executable,
        "server.py",
        *arguments,
        *(["--data", str(clone.data)] if arguments[0] == "drop" else []),
    ]
    done = subprocess.run(command, cwd=clone.root, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_one_command_brings_a_feature_into_the_open_page_and_one_takes_it_out(page: Page, clone: Clone) -> None:
    page.goto("/")
    start = page.locator("h1").text_content()
    expect(page.locator(".connection .now")).to_be_visible()
    page.evaluate("window.same = true")
    run(clone, "new", "recipe", "title:str", "minutes:int", "cooked:date?", "tags:text", "vegan:bool")
    link = page.get_by_role("link", name="Recipes")
    expect(link).to_be_visible(timeout=20_000)
    assert page.evaluate("window.same"), "the page is the same, its navigation is new"
    if "first feature" in start:
        expect(page).to_have_url(re.compile("/recipes$"))
    else:
        link.click()
    expect(page.get_by_text("No recipes yet.")).to_be_visible()

    page.keyboard.press("n")
    page.get_by_label("Title").fill("Tomato soup")
    page.get_by_label("Minutes").fill("25")
    page.get_by_label("Tags").fill("dinner")
    page.get_by_label("Vegan").check()
    page.keyboard.press("Enter")
    row = page.locator(".record")
    expect(row).to_contain_text("Tomato soup")
    expect(row).to_contain_text("Minutes 25Vegan Yes")
    expect(page.get_by_label("Title")).to_be_focused()

    other = page.context.new_page()
    other.goto("/recipes?q=soup")
    row.get_by_role("link", name="Edit Tomato soup").click()
    row.get_by_label("Title").fill("Onion soup")
    row.get_by_role("button", name="Save").click()
    expect(other.locator(".record .title")).to_have_text("Onion soup")
    page.get_by_role("button", name="Delete Onion soup").click()
    expect(other.get_by_text("Nothing matches.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(other.locator(".record .title")).to_have_text("Onion soup")
    other.get_by_role("searchbox").fill("leek")
    expect(other.get_by_text("Nothing matches.")).to_be_visible()
    other.close()

    other = page.context.new_page()
    other.goto("/")
    expect(other.locator(".connection .now")).to_be_visible()
    run(clone, "drop", "recipe")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    expect(page.get_by_role("link", name="Recipes")).to_have_count(0)
    page.get_by_role("link", name="Go to the start").click()
    expect(page.locator("h1")).to_have_text(start)
    assert clone.project.status() == ""
    assert clone.get("/recipes").status_code == 404
    assert clone.end() == 0
    for words in ("newer version", "Traceback", " 500 "):
        assert words not in clone.printed()
