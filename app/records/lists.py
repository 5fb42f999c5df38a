"""Lists: which part of one an address names, and the rows of that part."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from app.database.db import db
from app.database.sqlite_connections import SIZE, TEXT, Row
from app.records import deep_pages, search_query
from app.records.kinds import Kind
from app.records.list_queries import (
    EVERY,
    NEWEST,
    OLDEST,
    Listed,
    Statement,
    backwards,
    source_of,
    where,
)
from app.records.record_columns import Record, columns_of, records_of
from app.records.rows import LARGEST_LINE
from templates.parts.lists import SHOWN_PAGES, ListQuery, Query
from templates.parts.text_direction import quoted

# One screen of a laptop; the next page comes when the end is in sight.
PAGE_ROWS = 20
# A search that finds more than this says so instead of counting on.
COUNT_LIMIT = 1000
# What comes before later pages takes long to skip.
DEEP_PAGE = 500
LONGEST_SEARCH = 1000
# Of so few rows that a filter leaves, each is asked whether a search finds it.
ASKED_ROWS = 4000
# The order of a list is followed to find a page of a search that finds more than COUNT_LIMIT rows, at most so far; and
# as far as that takes less time than to sort what is found: asking a row takes about three times as long as sorting it.
FOLLOWED_ROWS = 20_000
FOLLOWED_PART = 0.3

AnyQuery = TypeVar("AnyQuery", bound=Query)


def query_of(area: str, given: Mapping[str, str], sorts: Mapping[str, str]) -> ListQuery:
    """The part of a list that an address names; 400 for one that it cannot name."""
    q = given.get("q", "").strip()
    if len(q) > LONGEST_SEARCH:
        raise HTTPException(400, f"A search has at most {LONGEST_SEARCH:,} characters.")
    try:
        search_query.parse(q)
    except search_query.TooManyWords as error:
        raise HTTPException(400, str(error)) from None
    sort = one_of("sort", given.get("sort") or "newest", sorts)
    page = _number("page", given.get("page") or "1", 10**9 - 1)
    pages = _number("pages", given.get("pages") or "1", SHOWN_PAGES)
    return ListQuery(area=area, q=q, sort=sort, page=page, pages=pages)


def one_of(name: str, value: str, allowed: Mapping[str, str]) -> str:
    """A value that the address may name; 400 for any other."""
    if value not in allowed:
        raise HTTPException(400, f"“{name}” is one of {', '.join(allowed)}, not {quoted(value)}.")
    return value


def shown_list(request: Request, query_of: Callable[[Mapping[str, str]], AnyQuery]) -> AnyQuery:
    """The list that the page at hand shows, from its start."""
    address = urlsplit(request.headers.get("hx-current-url", ""))
    given = {name: value for name, value in parse_qsl(address.query) if name not in ("page", "pages")}
    try:
        return query_of(given)
    except HTTPException:
        return query_of({})


def short(column: str) -> str:
    """A column in SQL, for a list: a value that is too large for one is not even read, bytes count as text."""
    return f"iif({SIZE}({column}) > {LARGEST_LINE}, '…', {TEXT.format(column)})"


async def rows_of(
    query: Query,
    kind: Kind,
    record: type[Record],
    order: str,
    condition: Statement = EVERY,
    in_sql: Mapping[str, str] = {},
) -> tuple[list[Record], bool, str]:
    """The records of the pages that are asked for, whether more follow, and how many a search has found, in words.

    `condition` is what a filter wants of the rows. `in_sql` says what a field of the record is in SQL; any other is its
    column, shortened.
    """
    columns = _columns(record, *in_sql.items())
    offset, limit = (query.page - 1) * PAGE_ROWS, PAGE_ROWS * query.pages + 1
    found = ""
    rows: Sequence[Iterable[Any]]
    listed = Listed(kind.table, kind.searched, search_query.parse(query.q), condition)
    is_deep = query.page > DEEP_PAGE
    ids: list[int] | None = None
    if query.q:
        ids, found = await _found(listed, order, limit, offset)
    elif is_deep and order in (NEWEST, OLDEST):
        ids = await deep_pages.ids_of(listed, order, limit, offset)
    if ids is not None:
        sql = f"SELECT id, {columns} FROM {kind.table} WHERE id IN (SELECT value FROM json_each(?))"
        by_id = {id: row for id, *row in await db.read(sql, [json.dumps(ids)])}
        rows = [by_id[id] for id in ids if id in by_id]
    else:
        rows = await _listed(columns, kind.table, condition, order, limit, offset, is_deep=is_deep)
    return records_of(record, rows[: limit - 1]), len(rows) == limit, found


def count_in_words(count: int, noun: str = "") -> str:
    """A count for a person: exact up to COUNT_LIMIT."""
    figure = f"{count:,}" if count <= COUNT_LIMIT else f"{COUNT_LIMIT:,}+"
    return f"{figure} {noun}".strip()


@lru_cache
def _columns(record: type[NamedTuple], *in_sql: tuple[str, str]) -> str:
    """What a list asks for to fill such records; each column shortened, as far as `in_sql` has nothing in its place."""
    return columns_of(record, {name: short(name) for name in record._fields} | {"id": "id"} | dict(in_sql))


async def _found(listed: Listed, order: str, limit: int, offset: int) -> tuple[list[int], str]:
    """The numbers of the rows on a page of a search, and how many it has found, in words."""
    find = listed.picked if await _is_picky(listed) else listed.found
    by_id = order if order in (NEWEST, OLDEST) else NEWEST
    first = await _ids(find(by_id, COUNT_LIMIT + 1))
    words, are_all = count_in_words(len(first), "found"), len(first) <= COUNT_LIMIT
    if order == by_id:
        if are_all or offset + limit <= len(first):
            return first[offset : offset + limit], words
        ids = await deep_pages.ids_of(listed, order, limit, offset)
        return ids if ids is not None else await _ids(find(order, limit, offset)), words
    if are_all:
        return await _ids(listed.sorted_of(first, order, limit, offset)), words
    # As dense as the newest of them.
    expected = len(first) * first[0] / max(first[0] - first[-1], 1)
    way = int(min(max(expected * FOLLOWED_PART, 0), FOLLOWED_ROWS))
    page = await _ids(listed.followed(order, way, limit, offset))
    return page if len(page) == limit else await _ids(listed.all_sorted(find(NEWEST, -1), order, limit, offset)), words


async def _is_picky(listed: Listed) -> bool:
    """Whether so few rows fulfil the condition that each of them is better asked whether a search finds it."""
    if not listed.condition.sql:
        return False
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {listed.table} {where(listed.condition)} LIMIT ?)"
    counted = await db.read(sql, [*listed.condition.parameters, ASKED_ROWS + 1], is_long=True)
    return bool(counted[0][0] <= ASKED_ROWS)


async def _ids(statement: Statement) -> list[int]:
    # As one value: for each row the thread would wait for the interpreter.
    sql = f"SELECT json_group_array(id) FROM ({statement.sql})"
    [(ids,)] = await db.read(sql, statement.parameters, is_long=True)
    return list(json.loads(ids))


async def _listed(
    columns: str, table: str, condition: Statement, order: str, limit: int, offset: int, *, is_deep: bool
) -> list[Row]:
    """The rows of a page of a list without a search."""
    ids = source_of(table, order, bool(condition.sql))
    by = order
    if is_deep:
        # From its nearer end.
        sql = f"SELECT count(*) FROM {table} {where(condition)}"
        left = (await db.read(sql, condition.parameters, is_long=True))[0][0] - offset
        if left <= 0:
            return []
        if left < offset:
            limit = min(limit, left)
            by, offset = backwards(order), left - limit
    # Only the numbers are sorted and skipped; the rows are fetched for one page.
    return await db.read(
        f"SELECT {columns} FROM {source_of(table, order, True)} WHERE id IN "
        f"(SELECT id FROM {ids} {where(condition)} ORDER BY {by} LIMIT ? OFFSET ?) ORDER BY {order}",
        [*condition.parameters, limit, offset],
        is_long=is_deep,
    )


def _number(name: str, number: str, most: int) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 10 and 1 <= int(number) <= most):
        raise HTTPException(400, f"“{name}” is a number from 1 to {most:,}, not {quoted(number)}.")
    return int(number)
