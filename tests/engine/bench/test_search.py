"""The benchmark of searches as a whole, with few rows: each page is a row of the table, and the file is used again."""

from pathlib import Path

from tests.engine.bench import search


def test_every_page_is_measured_and_the_file_is_kept(tmp_path: Path) -> None:
    for _ in range(2):
        table = search.measure(tmp_path, rows=200, rounds=1).split("\n\n")[1].splitlines()
        assert [row.split("  ")[0] for row in table[2:]] == [each.name for each in search.asked(200)]
    assert [path.name for path in tmp_path.glob("*.db")] == ["app.db"]
