"""The SQL of lists: which rows a search finds, and pages of them in an order.

A search that finds many rows must not visit them all for one page. FTS5 has the rows of a word in the order of their
numbers, so pages in that order are taken from there (`found`). In another order either few rows are sorted
(`sorted_of`), or the order is followed for a bounded way and each row asked whether the search finds it (`followed`).
What neither reaches is sorted as a whole (`all_sorted`).

A feature may have columns of any name, so those of its table stand in subqueries of their own.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from app.records.search_query import Search

# By the first field of a kind, as people look for names (app/records/sort_keys.py).
BY_NAME = "sort_key, id"
NEWEST = "id DESC"
OLDEST = "id"


class Statement(NamedTuple):
    """SQL, whole or a part, and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


# The condition that all rows fulfil.
EVERY = Statement("")


class Listed(NamedTuple):
    """The rows of a table that a search over the columns `searched` finds, and that fulfil `condition`, if any.

    `span` has the least and the greatest number that is looked at.
    """

    table: str
    searched: tuple[str, ...]
    wanted: Search
    condition: Statement = EVERY
    span: tuple[int, int] = (-(2**63), 2**63 - 1)

    def found(self, order: str, limit: int, offset: int = 0) -> Statement:
        """Their numbers, in the order NEWEST or OLDEST; all of them with the limit -1."""
        if not self.wanted.match:
            return self.picked(order, limit, offset)
        reach = limit + offset if limit >= 0 else -1
        indexed = _all(_holding(self.wanted.within), self._is_kept("f.rowid"), self._is_listed("f.rowid"))
        noted = self._is_listed("u.id", self._typed())
        direction = order.removeprefix("id")
        return Statement(
            f"""
            SELECT id FROM (
                SELECT * FROM (
                    SELECT f.rowid AS id FROM {self.table}_fts AS f
                    WHERE {self.table}_fts MATCH ? AND f.rowid BETWEEN ? AND ? AND {indexed.sql}
                    ORDER BY f.rowid{direction} LIMIT ?
                ) UNION ALL SELECT * FROM (
                    SELECT u.id FROM unindexed AS u WHERE u.table_name = '{self.table}' AND u.id BETWEEN ? AND ?
                    AND {noted.sql} ORDER BY u.id{direction} LIMIT ?
                )
            ) ORDER BY {order} LIMIT ? OFFSET ?""",
            (
                *(self.wanted.match, *self.span, *indexed.parameters, reach),
                *(*self.span, *noted.parameters, reach, limit, offset),
            ),
        )

    def picked(self, order: str, limit: int, offset: int = 0) -> Statement:
        """The same, where few rows fulfil the condition: each of them is asked."""
        here = Statement(f"{self.table}.id BETWEEN ? AND ?", self.span)
        asked = _all(here, self.condition, self._is_found(f"{self.table}.id"))
        sql = f"SELECT id FROM {self.table} WHERE {asked.sql} ORDER BY {order} LIMIT ? OFFSET ?"
        return Statement(sql, (*asked.parameters, limit, offset))

    def sorted_of(self, ids: Sequence[int], order: str, limit: int, offset: int) -> Statement:
        """A page, in any order, of those with the numbers `ids`."""
        sql = f"""
            SELECT id FROM {source_of(self.table, order, False)} WHERE id IN (SELECT value FROM json_each(?))
            ORDER BY {order} LIMIT ? OFFSET ?"""
        return Statement(sql, (json.dumps(ids), limit, offset))

    def followed(self, order: str, way: int, limit: int, offset: int) -> Statement:
        """A page, in any order, as far as it stands among the first `way` rows that fulfil the condition."""
        asked = self._is_found("s.id")
        # A join that is called CROSS keeps SQLite from picking the rows out first, and sorting them all.
        source = source_of(self.table, order, bool(self.condition.sql)).replace(" JOIN ", " CROSS JOIN ")
        sql = f"""
            SELECT s.id FROM (
                SELECT id FROM {source} {where(self.condition)} ORDER BY {order} LIMIT ?
            ) AS s WHERE {asked.sql} LIMIT ? OFFSET ?"""
        return Statement(sql, (*self.condition.parameters, way, *asked.parameters, limit, offset))

    def all_sorted(self, found: Statement, order: str, limit: int, offset: int) -> Statement:
        """A page, in any order, wherever it stands; `found` is the statement that gives all numbers."""
        sql = f"""
            SELECT id FROM {source_of(self.table, order, False)} WHERE id IN ({found.sql})
            ORDER BY {order} LIMIT ? OFFSET ?"""
        return Statement(sql, (*found.parameters, limit, offset))

    def _is_found(self, id: str) -> Statement:
        """That the search finds the row `id`, which fulfils the condition."""
        literals = _all(self._literals())
        in_table = f"EXISTS (SELECT 1 FROM {self.table} AS t WHERE t.id = {id} AND {{}})"
        found = [Statement(in_table.format(literals.sql), literals.parameters)] if literals.sql else []
        if self.wanted.match:
            indexed = _all(_holding(self.wanted.keys), self._is_kept(id))
            typed = self._typed()
            found.append(
                Statement(
                    f"""(
                    EXISTS (SELECT 1 FROM {self.table}_fts AS f WHERE f.rowid = {id} AND {indexed.sql})
                    OR EXISTS (SELECT 1 FROM unindexed AS u WHERE u.table_name = '{self.table}' AND u.id = {id})
                    AND {in_table.format(typed.sql)})""",
                    (*indexed.parameters, *typed.parameters),
                )
            )
        return _all(*found)

    def _is_listed(self, id: str, *more: Statement) -> Statement:
        """That there is a row `id` which fulfils the condition and holds what is no word, and `more`."""
        listed = _all(Statement(f"{self.table}.id = {id}"), self.condition, self._literals(), *more)
        return Statement(f"EXISTS (SELECT 1 FROM {self.table} WHERE {listed.sql})", listed.parameters)

    def _is_kept(self, id: str) -> Statement:
        """That the words that are kept of a row are those that it has."""
        noted = f"SELECT 1 FROM unindexed AS u WHERE u.table_name = '{self.table}' AND u.id = {id}"
        return Statement(f"NOT EXISTS ({noted})")

    def _typed(self) -> Statement:
        """That a row whose words are not kept yet has them, as far as SQLite itself can tell."""
        sql = " AND ".join([f"instr(lower({self._text()}), lower(?))"] * len(self.wanted.words))
        return Statement(sql, self.wanted.words)

    def _literals(self) -> Statement:
        """That a row holds what is no word."""
        return Statement(" AND ".join([f"instr({self._text()}, ?)"] * len(self.wanted.literals)), self.wanted.literals)

    def _text(self) -> str:
        """All that is searched of a row."""
        return " || char(10) || ".join(f"coalesce({column}, '')" for column in self.searched)


def source_of(table: str, order: str, reads_rows: bool) -> str:
    """What is sorted: the table with the keys of the order beside it; the keys alone where no column is looked at."""
    if order != BY_NAME:
        return table
    return f"{table}_sort JOIN {table} USING (id)" if reads_rows else f"{table}_sort"


def where(condition: Statement) -> str:
    """A condition as the part of a query that it is."""
    return f"WHERE {condition.sql}" if condition.sql else ""


def backwards(order: str) -> str:
    """The same order from its end."""
    return ", ".join(
        term.removesuffix(" DESC") if term.endswith(" DESC") else f"{term} DESC" for term in order.split(", ")
    )


def _holding(words: Sequence[str]) -> Statement:
    """That the words `f` of a row have all these in them."""
    return Statement(" AND ".join(["instr(f.words, ?)"] * len(words)), tuple(words))


def _all(*conditions: Statement) -> Statement:
    """All of them, without those that say nothing."""
    said = [each for each in conditions if each.sql]
    return Statement(" AND ".join(each.sql for each in said), tuple(one for each in said for one in each.parameters))
