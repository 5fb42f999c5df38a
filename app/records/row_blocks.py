"""Which rows of a table have changed: a table is seen as blocks of rows, and triggers give a block another version.

What was counted of a block is right as long as it has the same version. So after a commit only the blocks in which it
has changed a row are counted anew (`app/records/deep_pages.py`). Versions are drawn at random: none ever comes again.
"""

from collections.abc import Iterable

from sqlite_utils.db import Database

from app.database.sqlite_connections import Connection

# A block is so many rows with following numbers; one of them is counted in a millisecond or two.
BLOCK_ROWS = 1024
# So many versions are kept of a table: where numbers are larger than that, several blocks share one.
MOST_BLOCKS = 16_384


def create(schema: Database) -> None:
    """Make the table of the versions."""
    schema.execute("""
        CREATE TABLE row_blocks (
            table_name TEXT NOT NULL,
            block INTEGER NOT NULL,
            version INTEGER NOT NULL,
            PRIMARY KEY (table_name, block)
        ) WITHOUT ROWID
    """)


def keep(schema: Database, table: str) -> None:
    """Have versions kept of the blocks of a table.

    Deleted and inserted: an INSERT OR REPLACE in a trigger does what the statement outside says, so IGNORE would win.
    """
    for event, rows in (("insert", ["new"]), ("update", ["old", "new"]), ("delete", ["old"])):
        blocks = " UNION ".join(f"SELECT {_block(f'{row}.id')} AS block" for row in rows)
        schema.execute(f"DROP TRIGGER IF EXISTS {table}_blocks_{event}")
        schema.execute(f"""
            CREATE TRIGGER {table}_blocks_{event} AFTER {event.upper()} ON {table} BEGIN
                DELETE FROM row_blocks WHERE table_name = '{table}' AND block IN ({blocks});
                INSERT INTO row_blocks SELECT '{table}', block, random() FROM ({blocks});
            END
        """)
    renew_all(schema.conn, table)


def renew_all(connection: Connection, table: str) -> None:
    """Give all blocks of a table another version."""
    connection.execute("DELETE FROM row_blocks WHERE table_name = ?", [table])
    sql = (
        f"INSERT INTO row_blocks SELECT ?, block, random() FROM (SELECT DISTINCT {_block('id')} AS block FROM {table})"
    )
    connection.execute(sql, [table])


def renew(connection: Connection, table: str, ids: Iterable[int]) -> None:
    """Give the blocks of these rows another version, as what is found in them may be another."""
    blocks = {id // BLOCK_ROWS % MOST_BLOCKS for id in ids}
    sql = "UPDATE row_blocks SET version = random() WHERE table_name = ? AND block = ?"
    connection.executemany(sql, [(table, block) for block in blocks])


def kept_tables(connection: Connection) -> list[str]:
    """The tables of which versions are kept."""
    sql = "SELECT tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name = tbl_name || '_blocks_insert'"
    return [table for (table,) in connection.execute(sql)]


def _block(id: str) -> str:
    """The block of a row in SQL."""
    return f"({id} >> {BLOCK_ROWS.bit_length() - 1}) & {MOST_BLOCKS - 1}"
