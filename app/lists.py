"""Lists: which part of one an address names, and the rows of that part."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from app import search
from app.db import db
from app.records import Record, columns_of, records_of
from app.rows import LARGEST_LINE
from app.sqlite import SIZE, TEXT
from templates.directions import quoted
from templates.lists import SHOWN_PAGES, ListQuery, Query

# One screen of a laptop; the next page comes when the end is in sight.
PAGE_ROWS = 20
# A search that finds more than this says so instead of counting on.
COUNT_LIMIT = 1000
# What comes before later pages takes long to skip.
DEEP_PAGE = 500
LONGEST_SEARCH = 1000
# By the first field of a kind, as people look for names (app/collation.py).
BY_NAME = "sort_key, id"

AnyQuery = TypeVar("AnyQuery", bound=Query)


def query_of(area: str, given: Mapping[str, str], sorts: Mapping[str, str]) -> ListQuery:
    """The part of a list that an address names; 400 for one that it cannot name."""
    q = given.get("q", "").strip()
    if len(q) > LONGEST_SEARCH:
        raise HTTPException(400, f"A search has at most {LONGEST_SEARCH:,} characters.")
    try:
        search.parse(q)
    except search.TooManyWords as error:
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


def matching(table: str, columns: Sequence[str], q: str) -> tuple[list[str], list[Any]]:
    """The conditions of a search in SQL, and their parameters."""
    wanted = search.parse(q)
    text = " || char(10) || ".join(f"coalesce({column}, '')" for column in columns)
    conditions: list[str] = []
    parameters: list[Any] = []
    if wanted.match:
        unindexed = f"SELECT id FROM unindexed WHERE table_name = '{table}'"
        words = " ".join("AND instr(words, ?)" for _ in wanted.within)
        # Rows whose words are not kept yet are read themselves, with what SQLite has for it.
        typed = " ".join(f"AND instr(lower({text}), lower(?))" for _ in wanted.words)
        conditions.append(f"""id IN (
            SELECT rowid FROM {table}_fts WHERE {table}_fts MATCH ? {words} AND rowid NOT IN ({unindexed})
            UNION ALL SELECT id FROM {table} WHERE id IN ({unindexed}) {typed}
        )""")
        parameters += [wanted.match, *wanted.within, *wanted.words]
    conditions += [f"instr({text}, ?)" for _ in wanted.literals]
    return conditions, [*parameters, *wanted.literals]


def short(column: str) -> str:
    """A column in SQL, for a list: a value that is too large for one is not even read, bytes count as text."""
    return f"iif({SIZE}({column}) > {LARGEST_LINE}, '…', {TEXT.format(column)})"


async def rows_of(
    query: Query,
    table: str,
    record: type[Record],
    conditions: Sequence[str],
    parameters: Sequence[Any],
    order: str,
    in_sql: Mapping[str, str] = {},
) -> tuple[list[Record], bool, str]:
    """The records of the pages that are asked for, whether more follow, and how many a search has found, in words.

    `in_sql` says what a field of the record is in SQL; any other is its column, shortened.
    """
    columns = _columns(record, *in_sql.items())
    shown = PAGE_ROWS * query.pages
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    source = f"{table}_sort JOIN {table} USING (id)" if order == BY_NAME else table
    # The order alone says which rows these are, where nothing else does.
    sorted = f"{table}_sort" if order == BY_NAME and not conditions else source
    # Only the ids are sorted and skipped; the rows are fetched for one page.
    rows = await db.read(
        f"SELECT {columns} FROM {source} WHERE id IN "
        f"(SELECT id FROM {sorted} {where} ORDER BY {order} LIMIT ? OFFSET ?) ORDER BY {order}",
        [*parameters, shown + 1, (query.page - 1) * PAGE_ROWS],
        is_long=bool(query.q) or query.page > DEEP_PAGE,
    )
    found = ""
    if query.q:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {table} {where} LIMIT ?)"
        found = count_in_words((await db.read(sql, [*parameters, COUNT_LIMIT + 1], is_long=True))[0][0], "found")
    return records_of(record, rows[:shown]), len(rows) > shown, found


def count_in_words(count: int, noun: str = "") -> str:
    """A count for a person: exact up to COUNT_LIMIT."""
    figure = f"{count:,}" if count <= COUNT_LIMIT else f"{COUNT_LIMIT:,}+"
    return f"{figure} {noun}".strip()


@lru_cache
def _columns(record: type[NamedTuple], *in_sql: tuple[str, str]) -> str:
    """What a list asks for to fill such records; each column shortened, as far as `in_sql` has nothing in its place."""
    return columns_of(record, {name: short(name) for name in record._fields} | {"id": "id"} | dict(in_sql))


def _number(name: str, number: str, most: int) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 10 and 1 <= int(number) <= most):
        raise HTTPException(400, f"“{name}” is a number from 1 to {most:,}, not {quoted(number)}.")
    return int(number)
