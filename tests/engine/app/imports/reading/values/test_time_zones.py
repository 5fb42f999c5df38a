"""Time zones by their names."""

import pytest

from app.imports.reading.values.time_zones import zone_named


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Else", "../etc/passwd", "Europe", "x" * 100, "Europe/Berlin\0", "\ud800"]
)
def test_what_names_no_time_zone_is_none(name: str) -> None:
    assert zone_named(name) is None


def test_a_name_that_there_is_names_its_zone() -> None:
    zone = zone_named("Asia/Tokyo")
    assert str(zone) == "Asia/Tokyo"
