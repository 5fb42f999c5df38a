"""The header of the log's index changes exactly when `PRAGMA data_version` does."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils.utils import sqlite3

from app.database.db import Database
from app.database.preparation import prepare
from app.migrations import migrations
from tests.engine.app.database.shared import db, directory

__all__ = ["db", "directory"]  # fixtures


ACTS = st.sampled_from(
    [
        "INSERT INTO tasks (title) VALUES ('x')",
        "DELETE FROM tasks",
        "UPDATE tasks SET title = 'y' WHERE id = -1",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(RESTART)",
        "VACUUM",
        "CREATE TABLE IF NOT EXISTS more (a)",
        "DROP TABLE IF EXISTS more",
        "BEGIN IMMEDIATE",
        "SELECT * FROM tasks",
    ]
)


@given(acts=st.lists(ACTS, max_size=20))
def test_the_token_moves_exactly_when_data_version_does(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str]
) -> None:
    path = prepare(tmp_path_factory.mktemp("token"), migrations)
    db = Database()
    db.open(path)
    try:
        with closing(sqlite3.connect(path)) as witness:
            token, version = db.token(), witness.execute("PRAGMA data_version").fetchone()
            for act in acts:
                # A connection of its own for each act, as a program that comes and goes.
                with closing(sqlite3.connect(path, isolation_level=None)) as other:
                    other.execute(act).fetchall()
                before = token, version
                token, version = db.token(), witness.execute("PRAGMA data_version").fetchone()
                assert (token != before[0]) == (version != before[1]), act
    finally:
        db.close()
