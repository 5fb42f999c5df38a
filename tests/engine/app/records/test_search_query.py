"""The search: whatever is typed is safe, and every word of it must occur."""

from collections.abc import Iterator
from unicodedata import normalize
from unittest.mock import patch

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlite_utils import Database
from sqlite_utils.utils import sqlite3

from app.migrations import migrations
from app.records import indexing, search_query
from app.records.kinds import kinds
from app.records.list_queries import NEWEST, Listed
from app.tasks import KIND
from tests.engine.conftest import Server

TEXT = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda text: len(text.split()) <= search_query.MOST_WORDS
)
# What FTS5 itself would understand: https://www.sqlite.org/fts5.html, section 3.
SYNTAX = st.lists(
    st.sampled_from(
        [
            *("AND", "OR", "NOT", "NEAR", "NEAR(", ")", "(", '"', '""', "*", "^", "-", "+", ":", "title:", "{title}:"),
            *("milk", "milk*", '"milk', 'milk"', "'", ";", "--", "\\", "%", "_", "\0", "🥛", "é", ",", ".", " "),
        ]
    ),
    max_size=search_query.MOST_WORDS,
).map(" ".join)


class Searched:
    """Tasks in a file of this schema."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrations.apply(Database(self.connection, recursive_triggers=False))

    def add(self, title: str, notes: str = "", *, is_indexed: bool = True) -> int:
        self.connection.execute("DELETE FROM tasks")
        id: int = self.connection.execute(
            "INSERT INTO tasks (title, notes) VALUES (?, ?) RETURNING id", [title, notes]
        ).fetchone()[0]
        if is_indexed:
            indexing.complete(self.connection)
        return id

    def finds(self, text: str) -> list[int]:
        """The tasks that a search finds."""
        wanted = search_query.parse(text)
        if wanted == search_query.Search():
            return [id for (id,) in self.connection.execute("SELECT id FROM tasks")]
        listed = Listed("tasks", KIND.searched, wanted)
        found, picked = (
            [id for (id,) in self.connection.execute(*find(NEWEST, 9))] for find in (listed.found, listed.picked)
        )
        # Rows that are asked one by one are the same as those of which the index knows.
        assert found == picked
        return found


@pytest.fixture(scope="module")
def searched() -> Iterator[Searched]:
    searched = Searched()
    with patch.dict(kinds, {"tasks": KIND}, clear=True):
        yield searched
    searched.connection.close()


@given(TEXT | SYNTAX)
@example('"')
@example("a\0b")
@example("\0")
@example("OR")
@example('"" *')
@example("NEAR(a b, 2)")
def test_any_text_is_safe(searched: Searched, text: str) -> None:
    searched.add("Milk and bread")
    searched.finds(text)


def begin(word: str, length: int) -> str:
    """The begin of a word, where it is not that of a letter (a syllable of Korean, a letter with its accent)."""
    is_whole = normalize("NFKC", word).startswith(normalize("NFKC", word[:length]))
    return word[:length] if is_whole else word


TITLES = TEXT.map(lambda text: " ".join(text.replace("\0", "").split())).filter(bool)


@given(TITLES | SYNTAX.map(lambda text: " ".join(text.replace("\0", "").split())).filter(bool), st.data())
def test_a_task_is_found_by_the_words_of_its_title_or_their_begins(
    searched: Searched, title: str, data: st.DataObject
) -> None:
    id = searched.add(title)
    words = data.draw(st.lists(st.sampled_from(title.split()), min_size=1))
    typed = " ".join(begin(word, data.draw(st.integers(1, len(word)))) for word in words)
    assert searched.finds(typed) == [id], typed


@given(st.lists(st.sampled_from(["milk", "bread", "tea"]), max_size=4), st.lists(st.sampled_from(["milk", "bread"])))
def test_every_word_must_occur(searched: Searched, typed: list[str], words: list[str]) -> None:
    id = searched.add("x " + " ".join(words))
    assert (searched.finds(" ".join(typed)) == [id]) == (set(typed) <= set(words))


@pytest.mark.parametrize(
    ("title", "typed"),
    [
        ("Buy milk", "MILK"),
        ("Buy milk", "mil"),
        ("Buy milk", "milk buy"),
        ("Café olé", "cafe ole"),
        ("Cafe", "café"),
        ("ÄRGER", "arger"),
        ("Write to ada@example.org", "ada@example.org"),
        ("C++ and C#", "C++"),
        ("Pay 1,234.50", "1,234.50"),
        ("foo-bar baz", "foo-bar"),
        ("AND then", "AND"),
        ("say “hello”", '"hello"'),
        ("🎂 for Ada", "🎂"),
        ("Ada 🎂", "ada 🎂"),
        ("!!!", "!!!"),
        ("50 % off", "% 50"),
        ("買う 牛乳", "牛"),
        ("Привет мир", "привет"),
        ("हिन्दी सीखना", "हिन्दी"),
        ("x² and ½", "½"),
    ],
)
def test_a_task_is_found_as_a_person_would_type_it(searched: Searched, title: str, typed: str) -> None:
    id = searched.add(title)
    assert searched.finds(typed) == [id]


@pytest.mark.parametrize(
    ("title", "typed"),
    [
        ("Donaudampfschifffahrt", "Dampfschiff"),
        ("Donaudampfschifffahrtsgesellschaft", "GESELLSCHAFT"),
        ("Das Fahrrad putzen", "rad"),
        ("Straße fegen", "strasse"),
        ("Strasse fegen", "Straße"),
        ("STRAẞE FEGEN", "straße"),
        ("Straße fegen", "STRASSE"),
        ("明日は東京都に行く", "東京"),
        ("明日は東京都に行く", "京都"),
        ("明日は東京都に行く", "行"),
        ("明日は東京都に行く", "明"),
        ("明日は東京都に行く", "東京都に行く"),
        ("买牛奶和面包", "牛奶"),
        ("买牛奶和面包", "面包 牛"),
        ("学习中文tower", "中文tow"),
        ("ラーメンを食べる", "メン"),
        ("ﾗｰﾒﾝ", "ラーメン"),
        ("ซื้อน้ำตาลที่ตลาด", "น้ำตาล"),
        ("ซื้อน้ำตาลที่ตลาด", "ตลาด"),
        ("ໄປຕະຫຼາດ", "ຕະຫຼາດ"),
        ("ទៅផ្សារ", "ផ្សារ"),
        ("ဈေးသွားမယ်", "သွား"),
        ("고등학교에서 공부", "학교"),
        ("고등학교에서 공부", "고등"),
        ("\u1112\u1161\u11ab국", "한국"),
        ("Ｔｏｋｙｏ ｏｆｆｉｃｅ", "tokyo"),
        ("ﬁnd the oﬃce", "find office"),
        ("İstanbul'a git", "istanbul"),
        ("ISPARTA'YA GİT", "ısparta git"),
        ("Diyarbakır", "diyarbakir"),
        ("Cafe\u0301", "café"),
        ("Łódź, Ærø, Đà Nẵng", "lodz aero da"),
        ("ΟΔΟΣ Σίσυφος", "οδός σισυφοσ"),
        ("Ёлка", "елка"),
        ("שָׁלוֹם", "שלום"),
        ("ושלום", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("والكتاب", "كتاب"),
        ("किताब पढ़ना", "किताब"),
        ("தமிழ் படிக்க", "தமிழ்"),
        ("5 ㎏ Äpfel", "kg apfel"),
        ("foo-bar.baz", "bar.b"),
    ],
)
def test_words_are_found_as_every_script_writes_them(searched: Searched, title: str, typed: str) -> None:
    id = searched.add("x " + title)
    assert searched.finds(typed) == [id]
    id = searched.add("x", title)
    assert searched.finds(typed) == [id]


@pytest.mark.parametrize(
    ("title", "typed"),
    [
        ("Buy milk", "MIL"),
        ("Donaudampfschifffahrt", "dampfschiff"),
        ("明日は東京都に行く", "京"),
        ("ada@example.org 🎂", "ada@example.org 🎂"),
        ("Äpfel", "Äpf"),
    ],
)
def test_rows_whose_words_are_not_kept_yet_are_read_themselves(searched: Searched, title: str, typed: str) -> None:
    id = searched.add(title, is_indexed=False)
    assert searched.finds(typed) == [id]
    assert searched.finds(f"{typed} unlike") == []


def test_no_old_word_finds_a_row_that_was_changed_replaced_or_deleted(searched: Searched) -> None:
    for change in (
        "UPDATE tasks SET title = 'New', notes = ''",
        "REPLACE INTO tasks (id, title) SELECT id, 'New' FROM tasks",
        "UPDATE tasks SET title = 'New', notes = '', id = id + 1",
        "DELETE FROM tasks",
    ):
        searched.add("Old words", "Older")
        searched.connection.execute(change)
        assert [searched.finds(typed) for typed in ("old", "words", "older")] == [[], [], []], change
        assert len(searched.finds("new")) == ("New" in change)
        indexing.complete(searched.connection)
        assert [searched.finds(typed) for typed in ("old", "words", "older")] == [[], [], []], change
        assert len(searched.finds("new")) == ("New" in change)


@pytest.mark.parametrize(
    ("title", "typed"),
    [
        ("Buy milk", "il"),
        ("Buy milk", "k"),
        ("Buy milk", "milky"),
        ("dampfend, schiffbar", "dampfschiff"),
        ("東京", "京東"),
        ("京都の東", "東京"),
        ("か", "が"),
        ("หมา", "หมี"),
        ("हिन्दी", "हन्दी"),
        ("foo bar", "foo-barn"),
        ("Buy milk", "milk bread"),
        ("Buy milk", "milk OR bread"),
        ("Buy milk", "NOT bread"),
        ("Buy milk", "🥛"),
        ("Buy milk", "milk !"),
        ("100 off", "100 %"),
        ("a_b", "a%b*c"),
    ],
)
def test_a_task_is_not_found_by_what_it_does_not_hold(searched: Searched, title: str, typed: str) -> None:
    searched.add(title)
    assert searched.finds(typed) == []


def test_words_are_looked_for_in_title_and_notes_together(searched: Searched) -> None:
    id = searched.add("Milk", "from the shop 🛒")
    assert searched.finds("shop milk 🛒") == [id]


@pytest.mark.parametrize("text", ["", " ", "\0", "\n\t\u2003"])
def test_without_a_word_everything_is_found(text: str) -> None:
    assert search_query.parse(text) == search_query.Search()


@pytest.mark.parametrize(
    ("typed", "within", "words", "literals"),
    [
        ("wo " * 330, (), ("wo",), ()),
        ("wo WO wor Worx w", ("worx",), ("wo", "Worx", "w"), ()),
        ("abc abcd abcd-e Abcd-ef", ("abcd  ef",), ("Abcd-ef",), ()),
        ("! !! 🌱 🌱🌱 !", (), (), ("!!", "🌱🌱")),
        ("東京 東京都", ("東 京 都",), ("東京都",), ()),
    ],
)
def test_what_another_word_implies_is_not_looked_for(
    typed: str, within: tuple[str, ...], words: tuple[str, ...], literals: tuple[str, ...]
) -> None:
    wanted = search_query.parse(typed)
    assert (wanted.within, wanted.words, wanted.literals) == (within, words, literals)


@pytest.mark.parametrize(
    ("typed", "match"),
    [
        ("milk", '"mil" "ilk"'),
        ("mi", '" mi"'),
        ("m", '"  m"'),
        ("京", '" 京 "'),
        ("東京", '"東 京"'),
        ("Dampfer", '"dam" "pfe" "fer"'),
        ("abcdefghijklmnopqrstuvwxyz", '"abc" "def" "ghi" "jkl" "mno" "pqr" "stu" "vwx"'),
    ],
)
def test_a_word_is_looked_for_by_three_letters_each(typed: str, match: str) -> None:
    assert search_query.parse(typed).match == match


@given(st.lists(st.text("ab-", min_size=1, max_size=4), min_size=1, max_size=8), st.lists(st.text("ab-", max_size=6)))
def test_what_is_left_out_changes_nothing(searched: Searched, words: list[str], title: list[str]) -> None:
    """Each word alone finds the task exactly if all of them together do."""
    id = searched.add("x " + " ".join(title))
    assert (searched.finds(" ".join(words)) == [id]) == all(searched.finds(word) == [id] for word in words)


@pytest.mark.parametrize(
    "typed",
    [
        " ".join(f"word{number}" for number in range(100, 117)),
        " ".join(map(chr, range(0x1F300, 0x1F300 + 500))),
        ".".join("abcdefghij" * 10),
        " ".join([*(f"{number}x" for number in range(10, 20)), *map(chr, range(0x1F300, 0x1F307))]),
    ],
    ids=["words", "signs", "parts", "both"],
)
def test_too_many_words_are_refused_with_what_to_do(client: httpx.Client, htmx: httpx.Client, typed: str) -> None:
    for asks in (client, htmx):
        answer = asks.get("/tasks", params={"q": typed})
        assert answer.status_code == 400
        assert search_query.TOO_MANY in answer.text


def test_as_many_words_as_fit_are_found(client: httpx.Client, server: Server) -> None:
    words = [*(f"word{number}" for number in range(8)), *map(chr, range(0x1F300, 0x1F308))]
    server.sql("INSERT INTO tasks (title, notes) VALUES (?, ?)", ["Words", " ".join(words)])
    answer = client.get("/tasks", params={"q": " ".join(words)})
    assert answer.status_code == 200
    assert "1 found" in answer.text


def test_what_is_typed_reaches_the_list(client: httpx.Client, server: Server) -> None:
    for title, notes in (("Buy milk", "oats too"), ("Buy bread 🥖", ""), ('Say "OR"', "C++")):
        server.sql("INSERT INTO tasks (title, notes) VALUES (?, ?)", [title, notes])
    server.sql("UPDATE tasks SET title = 'Buy cream' WHERE title = 'Buy milk'")
    for typed, found in (
        *(("mil", 0), ("cre", 1), ("buy", 2), ("oat", 1), ("oat cream", 1), ("🥖", 1), ("buy 🥖", 1), ("bread oat", 0)),
        *(("++", 1), ('"or"', 1), ("cream OR bread", 0), ('"', 1)),
    ):
        answer = client.get("/tasks", params={"q": typed})
        assert answer.status_code == 200
        assert f"{found} found" in answer.text, typed
