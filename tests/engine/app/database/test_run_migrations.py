"""Migrations: those of a newer version are told apart; one that fails leaves file and backups as they were."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database as SqliteUtils
from sqlite_utils import Migrations

from app.database.preparation import prepare
from app.database.run_migrations import FailedMigration, migrate
from app.migrations import migrations
from tests.engine.app.database.shared import directory, foreign
from tests.engine.app.database.test_preparation import is_refused

__all__ = ["directory"]  # fixtures


def test_a_file_of_a_newer_version_is_refused(directory: Path) -> None:
    with foreign(directory) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, 'from_2031', '2031')",
            [migrations.name],
        )
    is_refused(directory, "newer", "“from_2031”", "--data")


def test_the_migrations_of_another_tool_in_the_file_are_its_own_business(directory: Path) -> None:
    with foreign(directory) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('other', 'from_2031', '2031')"
        )
    prepare(directory, migrations)


def test_a_migration_that_fails_is_named_and_leaves_file_and_backups_as_they_were(directory: Path) -> None:
    def add_colour(schema: SqliteUtils) -> None:
        schema.execute("ALTER TABLE tasks ADD COLUMN colour TEXT")

    def halve_everything(schema: SqliteUtils) -> None:
        schema.execute("SELECT halve(1)")

    more = Migrations(migrations.name)
    for number, migration in enumerate((*known_ones(), add_colour, halve_everything)):
        more(name=getattr(migration, "__name__", f"{number}"))(migration)
    with foreign(directory) as connection:
        before = connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall()
    with pytest.raises(FailedMigration, match=r"“halve_everything” failed \(.*no such function: halve"):
        migrate(directory / "app.db", more)
    with foreign(directory) as connection:
        assert connection.execute("SELECT sql FROM sqlite_schema ORDER BY name").fetchall() == before
    assert not list((directory / "backups").iterdir())


def known_ones() -> list[Callable[[SqliteUtils], None]]:
    """The functions of the app's own migrations, which the file has already."""
    return [each.fn for each in migrations.pending(SqliteUtils(memory=True))]
