"""A database that is newer than the code, for example after checking out an older branch.

It is never touched without being asked. What can be done: take the copy from before those migrations, go on with the
data as they are where this code still finds all that it needs in them, or have data of one's own for each branch.
"""

import contextlib
import shlex
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from sqlite_utils import Database as SqliteUtils
from sqlite_utils import Migrations
from sqlite_utils.utils import sqlite3

from app.database.copies import BACKUPS, restore_command
from server.reload.edits.loaded_files import top_of
from server.reload.start_errors import Offer

RESTORE, KEEP = "restore", "keep"
# So many of the newest copies are looked at for one that this code knows.
LOOKED_AT = 50


def applied(connection: sqlite3.Connection, migrations: Migrations) -> list[str]:
    """The migrations that a file has, in their order."""
    return [each.name for each in migrations.applied(SqliteUtils(connection, execute_plugins=False))]


def known(migrations: Migrations) -> set[str]:
    """Those of this code."""
    return {each.name for each in migrations.pending(SqliteUtils(memory=True, execute_plugins=False))}


def copy_before(path: Path, migrations: Migrations) -> Path | None:
    """The newest copy of the file at `path` that has no migration unknown to this code; None where there is none."""
    copies = sorted((path.parent / BACKUPS).glob("*.db"), key=lambda each: each.stat().st_mtime, reverse=True)
    names = known(migrations)
    for copy in copies[:LOOKED_AT]:
        with contextlib.suppress(sqlite3.Error, OSError):
            uri = f"{copy.resolve().as_uri()}?immutable=1"
            with closing(sqlite3.connect(uri, uri=True)) as connection:
                found = applied(connection, migrations)
            if found and names >= set(found):
                return copy
    return None


def missing(path: Path, migrations: Migrations) -> list[str]:
    """What this code needs and the file has not, or wants and this code does not give: then it cannot go on with it."""
    wanted = SqliteUtils(memory=True, execute_plugins=False)
    migrations.apply(wanted)
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return [
            words
            for table in wanted.table_names()
            if table != migrations.migrations_table
            for words in _differences(table, _columns(wanted.conn, table), _columns(connection, table))
        ]


def offers(path: Path, migrations: Migrations, root: Path) -> list[Offer]:
    """What can be done, each with a word for the person, and one that says that it was chosen."""
    copy, lacking = copy_before(path, migrations), missing(path, migrations)
    found = []
    if copy is not None:
        found.append(
            Offer(
                f"Go back to the copy from before: {copy}. What is in the data now is kept among the backups. In the "
                f"terminal: {restore_command(path.parent, copy)}",
                RESTORE,
                "Restore the copy",
            )
        )
    if lacking:
        found.append(Offer(f"To go on with the data as they are is not possible: {'; '.join(lacking)}."))
    else:
        found.append(
            Offer(
                "Go on with the data as they are: all that this version needs is in them. The risk: what it writes may "
                "lack what the newer version relies on. It holds until the server ends.",
                KEEP,
                "Go on with these data",
            )
        )
    own = f"python3 server.py --data {shlex.quote(f'data/{_branch(root)}')}"
    found.append(Offer(f"Have data of its own for each branch: {own}"))
    found.append(Offer("Or check out the newer version again: then all is as before by itself."))
    return found


def _differences(table: str, wanted: dict[str, bool], present: dict[str, bool]) -> Iterator[str]:
    if not present:
        yield f"the table {table} is gone"
        return
    for name in wanted.keys() - present.keys():
        yield f"{table} has no {name} any more"
    for name in present.keys() - wanted.keys():
        if present[name]:
            yield f"{table} wants a {name} in each row"


def _columns(connection: sqlite3.Connection, table: str) -> dict[str, bool]:
    """The columns of a table, and of each whether a row must name it."""
    rows: Collection[tuple[str, int, object, int]] = connection.execute(
        'SELECT name, "notnull", dflt_value, pk FROM pragma_table_xinfo(?)', [table]
    ).fetchall()
    return {name: bool(is_needed) and default is None and not key for name, is_needed, default, key in rows}


def _branch(root: Path) -> str:
    """What git calls what is checked out, as the name of a directory."""
    git = top_of(root) / ".git"
    with contextlib.suppress(OSError):
        if git.is_file():
            git = git.parent / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        return head.removeprefix("ref: refs/heads/").replace("/", "-")[:40]
    return "BRANCH"
