"""Search: any text is safe, and every word is found from its beginning."""

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from app.search import parse
from tests.app.test_tasks import titles
from tests.conftest import Server

WORDS = st.text("abcäöñжд", min_size=1, max_size=6)


def found(text: str, title: str) -> bool:
    """Whether a search for `text` finds a task called `title`."""
    db = Database(memory=True)
    db["tasks"].insert({"title": title, "notes": ""})
    db.table("tasks").enable_fts(["title", "notes"], tokenize="unicode61 remove_diacritics 2")
    search = parse(text)
    match = (
        not search.match
        or db.execute("SELECT count(*) FROM tasks_fts WHERE tasks_fts MATCH ?", [search.match]).fetchone()[0]
    )
    return bool(match) and all(literal in title for literal in search.literals)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r'["*^():+\-{}]{0,4}(AND|OR|NOT|NEAR)?["* ]{0,4}', fullmatch=True))
def test_no_text_is_a_syntax_error(text: str) -> None:
    found(text, "Some title")


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5), st.data())
def test_the_beginnings_of_words_in_any_order_find_the_task(words: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.permutations(words))
    begins = [word[: data.draw(st.integers(1, len(word)))] for word in wanted]
    assert found(" ".join(begins), " ".join(words))


@given(WORDS, WORDS)
def test_a_word_that_is_not_there_is_not_found(word: str, other: str) -> None:
    assert not found(f"{word}x", other)


def test_signs_and_emoji_are_looked_for_as_they_are() -> None:
    assert parse('🎉 "milk" -- a*').literals == ["🎉", "--"]
    assert found("🎉", "Party 🎉")
    assert not found("🎂", "Party 🎉")
    assert found("par 🎉", "Party 🎉")


def test_the_list_is_searched_in_titles_and_notes(htmx: httpx.Client, server: Server) -> None:
    server.sql("INSERT INTO tasks (title, notes) VALUES ('Milk', 'oat'), ('Ölwechsel 🛠', 'C++ & <b>'), ('OR', '')")
    for text, expected in (
        ("oat", ["Milk"]),
        ("olw", ["Ölwechsel 🛠"]),
        ("🛠 c", ["Ölwechsel 🛠"]),
        ("++", ["Ölwechsel 🛠"]),
        ("& öl", ["Ölwechsel 🛠"]),
        ("OR", ["OR"]),
        ("mi OR", []),
    ):
        assert titles(htmx.get("/tasks", params={"q": text})) == expected, text
    server.sql("UPDATE tasks SET title = 'Cream' WHERE title = 'Milk'")
    assert titles(htmx.get("/tasks?q=milk")) == []
    assert titles(htmx.get("/tasks?q=cre")) == ["Cream"]
