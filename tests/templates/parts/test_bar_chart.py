"""The chart: a bar a day, as high as its figure, readable as text."""

from datetime import date, timedelta

import html5lib
from hypothesis import given
from hypothesis import strategies as st

from templates.parts.bar_chart import BASE, WIDTH, done_per_day


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=31))
def test_bars_stay_inside_and_keep_their_order_of_height(counts: list[int]) -> None:
    first = date(2030, 1, 1)
    text = done_per_day([(first + timedelta(days=day), count) for day, count in enumerate(counts)])
    bars = [bar.attrib for bar in html5lib.parse(text, namespaceHTMLElements=False).iter() if bar.tag.endswith("rect")]
    assert len(bars) == len(counts)
    for bar in bars:
        assert 0 <= float(bar["x"]) <= float(bar["x"]) + float(bar["width"]) <= WIDTH
        assert 0 < float(bar["y"]) <= float(bar["y"]) + float(bar["height"]) <= BASE + 0.01
    heights = [float(bar["height"]) for bar in bars]
    for count, height in zip(counts, heights, strict=True):
        assert all(height >= other for other, less in zip(heights, counts, strict=True) if less <= count)


def test_the_figures_are_there_as_text() -> None:
    text = done_per_day([(date(2030, 1, 1), 1234), (date(2030, 1, 2), 0), (date(2030, 1, 3), 2)])
    assert 'aria-label="1,236 done in the last 3 days, 2 of them today"' in text
    assert "Tuesday 1 January: 1,234" in text
