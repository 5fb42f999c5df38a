"""A bar chart as SVG, drawn on the server: the tasks done on each of the last days."""

from collections.abc import Sequence
from datetime import date

from templates.parts.tags import (
    Figcaption,
    Figure,
    G,
    Rect,
    Safe,
    Svg,
    Text,
)
from templates.parts.tags import SvgTitle as Tooltip

WIDTH = 280
HEIGHT = 110
BASE = 88
GAP = 4


def done_per_day(days: Sequence[tuple[date, int]]) -> Safe:
    """One bar a day, the last day at the right; the figures are readable as text too."""
    most = max([1, *(count for _, count in days)])
    step = WIDTH / len(days)
    bars = [_bar(index * step, step - GAP, day, count, most) for index, (day, count) in enumerate(days)]
    total = sum(count for _, count in days)
    return Figure(
        Figcaption("Done per day"),
        Svg(
            bars,
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            aria_label=f"{total:,} done in the last {len(days)} days, {days[-1][1]:,} of them today",
        ),
        cls="chart",
    )


def _bar(left: float, width: float, day: date, count: int, most: int) -> Safe:
    height = max(2, round(count / most * (BASE - 16), 1))
    middle = round(left + width / 2, 1)
    return G(
        Tooltip(f"{day:%A} {day.day} {day:%B}: {count:,}"),
        Rect(
            x=round(left, 1),
            y=BASE - height,
            width=round(width, 1),
            height=height,
            rx=2,
            cls="bar" if count else "no bar",
        ),
        Text(f"{count:,}", x=middle, y=BASE - height - 4, cls="figure") if count else None,
        Text(f"{day:%a}"[:2], x=middle, y=HEIGHT - 8, cls="day"),
    )
