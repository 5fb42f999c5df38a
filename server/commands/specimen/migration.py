"""What `python3 server.py new` adds to the end of app/migrations.py."""

from sqlite_utils.db import Database

from app.database.sqlite_connections import NOW
from app.migrations import keep_versions, migrations
from app.records import indexing, row_blocks


@migrations()
def create_museum_pieces(db: Database) -> None:
    """Museum pieces, the search over them, and those that were deleted, kept whole for a while."""
    db.execute(f"""
        CREATE TABLE museum_pieces (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            short_name TEXT NOT NULL CHECK (trim(short_name) <> ''),
            made_by TEXT NOT NULL CHECK (trim(made_by) <> ''),
            lent_to TEXT NOT NULL DEFAULT '',
            whole_story TEXT NOT NULL CHECK (trim(whole_story) <> ''),
            side_note TEXT NOT NULL DEFAULT '',
            piece_count INTEGER NOT NULL CHECK (typeof(piece_count) = 'integer'),
            floor_number INTEGER CHECK (typeof(floor_number) IN ('integer', 'null')),
            net_weight REAL NOT NULL CHECK (typeof(net_weight) = 'real'),
            full_height REAL CHECK (typeof(full_height) IN ('real', 'null')),
            is_fragile INTEGER NOT NULL DEFAULT 0 CHECK (is_fragile IN (0, 1)),
            is_genuine INTEGER CHECK (is_genuine IN (0, 1)),
            found_on TEXT NOT NULL CHECK (found_on IS date(found_on, '+0 days')),
            shown_on TEXT CHECK (shown_on IS date(shown_on, '+0 days')),
            created_at TEXT NOT NULL DEFAULT ({NOW}),
            updated_at TEXT NOT NULL DEFAULT ({NOW})
        )
    """)
    db.execute(f"""
        CREATE TABLE deleted_museum_pieces (
            id INTEGER PRIMARY KEY,
            short_name TEXT NOT NULL,
            made_by TEXT NOT NULL,
            lent_to TEXT NOT NULL,
            whole_story TEXT NOT NULL,
            side_note TEXT NOT NULL,
            piece_count INTEGER NOT NULL,
            floor_number INTEGER,
            net_weight REAL NOT NULL,
            full_height REAL,
            is_fragile INTEGER NOT NULL,
            is_genuine INTEGER,
            found_on TEXT NOT NULL,
            shown_on TEXT,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            deleted_at TEXT NOT NULL DEFAULT ({NOW})
        )
    """)
    searched = [
        "short_name",
        "made_by",
        "lent_to",
        "whole_story",
        "side_note",
    ]
    indexing.keep_index(db, "museum_pieces", "short_name", searched)
    # The other orders of the list: with an index no page needs all rows sorted.
    orders: list[str] = [
        "piece_count",
        "floor_number IS NULL, floor_number",
        "net_weight",
        "full_height IS NULL, full_height",
        "found_on",
        "shown_on IS NULL, shown_on",
    ]
    for order in orders:
        db.execute(f"CREATE INDEX museum_pieces_by_{order.split()[0]} ON museum_pieces ({order})")
    keep_versions(db, "museum_pieces")
    row_blocks.keep(db, "museum_pieces")
