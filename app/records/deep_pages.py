"""Deep pages of a list in the order of the numbers of its rows, without going through all that stand before them.

How many rows of each block a list has is counted once and kept as long as the block has the same version
(`app/records/row_blocks.py`). The counts say in which block a page begins, and there it is read.
"""

from collections import OrderedDict
from typing import NamedTuple

from app.database.db import db
from app.database.sqlite_connections import Row
from app.records.list_queries import NEWEST, OLDEST, Listed
from app.records.row_blocks import BLOCK_ROWS, MOST_BLOCKS

LARGEST = BLOCK_ROWS * MOST_BLOCKS - 1
# The counts of so many lists are kept: each takes some kilobytes for a million rows.
KEPT_LISTS = 16
# Where more blocks have changed, all are counted at once.
FEW_BLOCKS = 32


class Count(NamedTuple):
    """How many rows a list had of a block when that had this version."""

    version: int
    rows: int


_kept: OrderedDict[Listed, dict[int, Count]] = OrderedDict()


async def ids_of(listed: Listed, order: str, limit: int, offset: int) -> list[int] | None:
    """The numbers on a page, in the order NEWEST or OLDEST; None where no counts of this table can be kept."""
    counts = await _counts(listed)
    if counts is None:
        return None
    for block in sorted(counts, reverse=order == NEWEST):
        if offset < counts[block].rows:
            break
        offset -= counts[block].rows
    else:
        return []
    first, last = _block(listed, block).span
    rest = listed._replace(span=(first, LARGEST) if order == OLDEST else (0, last))
    return [id for (id,) in await db.read(*rest.found(order, limit, offset), is_long=True)]


async def _counts(listed: Listed) -> dict[int, Count] | None:
    """How many rows the list has of each block now."""
    sql = f"SELECT (SELECT min(id) FROM {listed.table}) AS least, (SELECT max(id) FROM {listed.table}) AS most"
    [(least, most)] = await db.read(sql)
    rows = await db.read("SELECT block, version FROM row_blocks WHERE table_name = ?", [listed.table])
    if not rows or least is None or least < 0 or most > LARGEST:
        return None
    versions: dict[int, int] = dict(map(tuple, rows))
    kept = _kept.get(listed, {})
    changed = {block for block, version in versions.items() if block not in kept or kept[block].version != version}
    parts = [_block(listed, block) for block in changed] if len(changed) <= FEW_BLOCKS else [listed]
    counted = {block: rows for part in parts for block, rows in await _counted(part)}
    counts = {
        block: Count(version=version, rows=counted.get(block, 0)) if block in changed else kept[block]
        for block, version in versions.items()
    }
    _kept[listed] = counts
    _kept.move_to_end(listed)
    while len(_kept) > KEPT_LISTS:
        _kept.popitem(last=False)
    return counts


def _block(listed: Listed, block: int) -> Listed:
    """The rows of a list that are in a block."""
    return listed._replace(span=(block * BLOCK_ROWS, block * BLOCK_ROWS + BLOCK_ROWS - 1))


async def _counted(listed: Listed) -> list[Row]:
    """Each block that has rows of a list, and how many."""
    found = listed.found(OLDEST, -1)
    sql = f"SELECT id / {BLOCK_ROWS} AS block, count(*) FROM ({found.sql}) GROUP BY block"
    return await db.read(sql, found.parameters, is_long=True)
