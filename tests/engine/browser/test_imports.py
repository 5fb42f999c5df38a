"""Import and export in a real Chromium: a file in, looked at, written with a moving bar, taken back, taken out."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.engine.conftest import Server


def upload(page: Page, file: Path) -> None:
    """Bring a file, as a person does."""
    page.goto("/imports")
    page.get_by_label("File to import").set_input_files(file)
    page.get_by_role("button", name="Read the file").click()


def test_columns_can_be_corrected(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    file.write_text("title,what\nA,Real one\nB,Real two\n", encoding="utf-8")
    upload(page, file)
    page.get_by_text(re.compile("^Columns:")).click()
    page.locator("select[name=title]").select_option("what")
    page.get_by_role("button", name="Read again with these").click()
    expect(page.locator("tbody tr").first).to_have_text(re.compile("^Real one"))


def test_the_bar_moves_and_cancelling_takes_everything_back(page: Page, server: Server, tmp_path: Path) -> None:
    server.add(5)
    file = tmp_path / "many.json"
    file.write_text(
        json.dumps([{"title": f"Row {number}", "done": False} for number in range(12_000)]), encoding="utf-8"
    )
    upload(page, file)
    page.get_by_role("button", name="Import 12,000 tasks").click()
    bar = page.get_by_role("progressbar", name="Importing")
    seen = set()
    for _ in range(200):
        value = int(bar.get_attribute("value") or 0)
        written = server.sql("SELECT count(*) AS tasks FROM imported_rows")[0]["tasks"]
        assert value <= written
        seen.add(value)
        if len(seen) == 3:
            break
        page.wait_for_function("value => document.querySelector('progress')?.value !== value", arg=value)
    assert len(seen) == 3
    page.get_by_role("button", name="Cancel and take back").click()
    expect(page.get_by_text("Taken back", exact=True)).to_be_visible()
    assert [row["title"] for row in server.sql("SELECT title FROM tasks ORDER BY id")] == [
        f"Task {n}" for n in range(1, 6)
    ]


def test_a_finished_import_can_be_taken_back(page: Page, server: Server, tmp_path: Path) -> None:
    server.add(1)
    file = tmp_path / "two.csv"
    file.write_text("title\nOne\nTwo\n", encoding="utf-8")
    upload(page, file)
    page.get_by_role("button", name="Import 2 tasks").click()
    page.get_by_role("button", name="Take this import back").click()
    expect(page.get_by_text("Taken back", exact=True)).to_be_visible()
    assert [row["title"] for row in server.sql("SELECT title FROM tasks")] == ["Task 1"]


def test_a_file_that_cannot_be_read_is_said_in_a_sentence(page: Page, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "picture.csv"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10)
    upload(page, file)
    expect(page.get_by_text("Could not be read")).to_be_visible()
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.get_by_role("link", name="Import another file").click()
    expect(page.get_by_text("Imports so far")).to_be_visible()


@pytest.mark.slow
def test_what_goes_out_comes_back_unchanged(page: Page, server: Server, tmp_path: Path) -> None:
    titles = ["=SUM(A1)", "+1", "-1", "@x", "'quoted", "'=both", 'say "hi", ok', "späß 🎉"]
    for number, title in enumerate(titles):
        server.sql(
            "INSERT INTO tasks (id, title, notes, due, done, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [number * 3 + 1, title, "=a\r\nb\n\n\tc ", "2030-02-03" if number % 2 else None, number % 2,
             f"2020-01-0{number + 1}T00:00:00.000Z", "2021-02-03T04:05:06.789Z"],
        )  # fmt: skip
    before = [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")]
    for kind in ("CSV", "JSON"):
        page.goto("/imports")
        with page.expect_download() as download:
            page.get_by_role("link", name=kind).click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        server.sql("DELETE FROM tasks")
        upload(page, file)
        expect(page.get_by_text("This is an export of this app")).to_be_visible()
        page.get_by_role("button", name=f"Import {len(titles)} tasks").click()
        expect(page.get_by_text(f"{len(titles)} tasks imported.")).to_be_visible()
        assert [tuple(row) for row in server.sql("SELECT * FROM tasks ORDER BY id")] == before
