"""Values look as a person would write them, and no text becomes a tag."""

from datetime import UTC, date, timedelta, timezone

import pytest

from templates.parts import values

TODAY = date(2030, 6, 15)


@pytest.mark.parametrize(
    ("day", "words"), [("2030-06-01", "1 Jun"), ("2031-12-24", "24 Dec 2031"), ("1999-01-02", "2 Jan 1999")]
)
def test_a_day_is_said_with_its_year_where_that_is_another(day: str, words: str) -> None:
    assert values.day(day, TODAY) == f'<time datetime="{day}">{words}</time>'


@pytest.mark.parametrize("text", ["0000-01-01", "-0001-01-01", "2026-1-1", "next week", "-1.5", "<b>"])
def test_what_is_no_value_of_its_kind_is_shown_as_it_stands(text: str) -> None:
    assert values.day(text, TODAY) == f"<time><bdi>{text.replace('<', '&lt;').replace('>', '&gt;')}</bdi></time>"
    assert values.number(text) == values.yes_or_no(text) == text
    assert f">{text}</" in values.moment(text.replace("<b>", "b"), UTC) or text == "<b>"


def test_a_moment_outside_the_years_of_a_zone_is_shown_as_it_stands() -> None:
    west = timezone(timedelta(hours=-8))
    assert values.moment("0001-01-01T00:00:00Z", west) == "<time><bdi>0001-01-01T00:00:00Z</bdi></time>"


def test_what_is_not_known_is_nothing() -> None:
    assert values.day(None, TODAY) is values.number(None) is values.yes_or_no(None) is values.text(" ") is None


def test_numbers_and_answers_are_said() -> None:
    assert (values.number(1234567), values.number(0.5)) == ("1,234,567", "0.5")
    assert (values.yes_or_no(1), values.yes_or_no(0)) == ("Yes", "No")


def test_a_moment_that_another_program_wrote_is_shown_as_it_is() -> None:
    assert "1 Jan 2030, 12:00" in values.moment("2030-01-01T12:00:00.000Z", UTC)
    assert ">odd</time>" in values.moment("odd", UTC) or ">odd<" in values.moment("odd", UTC)


def test_a_text_is_markdown_and_its_raw_html_and_pictures_are_text() -> None:
    shown = values.text("**a** <b>c</b> ![d](http://example.org/d.png)")
    assert shown is not None
    assert "<strong>a</strong> &lt;b&gt;c&lt;/b&gt;" in shown
    assert "<img" not in shown
    assert values.text("", "Nothing yet.") == '<p class="quiet">Nothing yet.</p>'
