"""How an import looks: the upload, what was understood of the file, its progress, and its end."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from templates.imports import known_rows
from templates.imports.known_rows import Known
from templates.imports.reading_controls import (
    SIGNS,
    findings,
    how_it_was_read,
    question,
    upload_choices,
)
from templates.parts.live import live
from templates.parts.tags import (
    H1,
    H2,
    H3,
    A,
    Button,
    Code,
    Details,
    Div,
    Form,
    Input,
    Label,
    Li,
    Option,
    P,
    Progress,
    Safe,
    Section,
    Select,
    Span,
    Strong,
    Summary,
    Table,
    Tbody,
    Td,
    Th,
    Thead,
    Tr,
    Ul,
)
from templates.parts.text_direction import isolated, own

STATES = {
    "checking": "Reading",
    "ready": "Waiting for you",
    "writing": "Importing",
    "done": "Imported",
    "undoing": "Taking back",
    "undone": "Taken back",
    "failed": "Could not be read",
    "discarded": "Discarded",
    "expired": "Expired",
}
# How long a file that was read waits for its import to be started, and how long and how many of those that are over
# are kept.
WAITING_DAYS = 7
KEPT_DAYS = 90
KEPT_IMPORTS = 100
RUNNING = ("checking", "writing", "undoing")
SHOWN_PROBLEMS = 50


class ImportKind(NamedTuple):
    """What an import brings, in words: the labels of its fields, and the field that keeps the rest, if any does."""

    table: str
    noun: str
    plural: str
    labels: Mapping[str, str]
    rest: str
    sources: str

    def counted(self, count: int) -> str:
        """So many of them."""
        return f"{count:,} {self.noun if count == 1 else self.plural}"


class ListedImport(NamedTuple):
    """One import among others; `before` are those that are taken before it, where it waits for its turn."""

    id: int
    kind: ImportKind
    filename: str
    state: str
    rows_total: int
    before: int


class Import(NamedTuple):
    """One import, as far as it has come; `before` are those that are taken before it, where it waits for its turn."""

    id: int
    kind: ImportKind
    filename: str
    state: str
    understood: Mapping[str, Any]
    problems: Sequence[Mapping[str, Any]]
    problem_count: int
    error: str
    bytes_read: int
    bytes_total: int
    rows_done: int
    rows_total: int
    created_at: str
    known: Known
    rows_kept: int = 0
    before: int = 0


def imports_page(
    imports: Sequence[ListedImport], kinds: Sequence[ImportKind], chosen: str, *, with_choices: bool = False
) -> tuple[Safe | None, ...]:
    """The page of imports and exports; `chosen` is the kind that the form begins with."""
    return (
        Div(
            H1("Import & export"),
            upload_form(kinds, chosen, with_choices=with_choices),
            _history(imports) if imports else None,
            cls="column",
        ),
        _exports(kinds),
    )


def upload_form(kinds: Sequence[ImportKind], chosen: str, error: str = "", *, with_choices: bool = False) -> Safe:
    """Where a file comes in; with choices it may be said how it is to be read."""
    sources = ", ".join(kind.sources for kind in kinds if kind.sources) or "another program"
    return Form(
        H2(f"Bring your {kinds[0].plural}" if len(kinds) == 1 else "Bring your data"),
        P(
            f"An export from {sources}, a spreadsheet, or from here: "
            "CSV, TSV or JSON, also gzipped. You see what was understood before anything is written."
        ),
        P(error, cls="form-error", role="alert") if error else None,
        Label(
            "What is in it",
            Select(
                [Option(_title(kind), value=kind.table, selected=kind.table == chosen) for kind in kinds], name="kind"
            ),
        )
        if len(kinds) > 1
        else None,
        Label("File to import", Input(type="file", name="file", required=True), cls="file"),
        upload_choices() if with_choices else None,
        Button("Read the file", cls="button primary"),
        id="upload",
        cls="card upload",
        method="post",
        action="/imports",
        enctype="multipart/form-data",
    )


def import_card(each: Import) -> Safe:
    """One import: the fragment of `GET /imports/{id}`; it is live, so its progress shows by itself."""
    running = each.state in RUNNING
    return live(
        Section,
        P(A("All imports", href="/imports"), cls="back"),
        H1(each.filename),
        P(_state(each), cls=f"state {each.state}"),
        _BODIES[each.state](each),
        P(A("Look how far it has come", href=f"/imports/{each.id}"), cls="unless-live") if running else None,
        id="import",
        url=f"/imports/{each.id}",
        cls="card import",
    )


def _state(each: Import | ListedImport) -> str:
    return "Waiting" if each.before else STATES[each.state]


def _turn(each: Import) -> str:
    """What an import waits for."""
    others = "1 import comes" if each.before == 1 else f"{each.before:,} imports come"
    return f"One is worked on at a time: {others} before it. It begins by itself."


def _checking(each: Import) -> Safe:
    if each.before:
        return Div(P(_turn(each)), P("Nothing is written yet."), _cancel(each, "Discard"))
    return Div(
        _bar(each.bytes_read, each.bytes_total, "Reading the file"),
        P(f"{_megabytes(each.bytes_read)} of {_megabytes(each.bytes_total)} read. Nothing is written yet."),
        _cancel(each, "Cancel"),
    )


def _ready(each: Import) -> Safe:
    understood = each.understood
    columns = understood["columns"]
    return Div(
        P("It could not be read so: ", each.error, " Here it is as before.", cls="form-error", role="alert")
        if each.error
        else None,
        P(
            Strong(each.kind.counted(each.rows_total)),
            " found in ",
            understood["format"],
            f", {understood['encoding']}" if understood.get("encoding") else None,
            f", separated by {_sign(understood['delimiter'])}" if understood.get("delimiter") else None,
            ", gzipped" if understood.get("compressed") else None,
            f"; what is left out of it: zero bytes ({understood['zeros']:,})" if understood.get("zeros") else None,
            ".",
        ),
        P(
            "It has several lists; this is ",
            Strong(own(understood["list"])),
            ". Left out: ",
            ", ".join(f"{isolated(name)} ({count:,})" for name, count in understood["other_lists"].items()),
            f" and {understood['more_lists']:,} more" if understood.get("more_lists") else None,
            ".",
        )
        if understood.get("other_lists")
        else None,
        known_rows.note(each),
        P("This is an export of this app: every column comes back as it was.")
        if understood.get("own_export")
        else None,
        findings(understood),
        H2(f"The first {each.kind.plural}"),
        _sample(each.kind, understood["sample"]),
        _reading(each, columns),
        _left_out(each, columns),
        _problems(each),
        Div(
            known_rows.start_form(each) if each.rows_total else P("There is nothing to import."),
            _cancel(each, "Discard"),
            cls="actions",
        ),
        P(f"The file waits for you for {WAITING_DAYS} days; then it is deleted.", cls="quiet"),
    )


def _writing(each: Import) -> Safe:
    if each.before:
        return Div(P(_turn(each)), P("Nothing is written yet."), _cancel(each, "Cancel"))
    return Div(
        _bar(known_rows.read(each), each.rows_total, "Importing"),
        P(f"{known_rows.read(each):,} of {each.kind.counted(each.rows_total)}. You can go on working meanwhile."),
        _cancel(each, "Cancel and take back"),
    )


def _done(each: Import) -> Safe:
    return Div(
        P("It was not taken back whole. ", each.error, cls="form-error", role="alert") if each.error else None,
        known_rows.result(each),
        _problems(each),
        Div(
            A("See them", href=f"/{each.kind.table}", cls="button primary"),
            _cancel(each, "Take this import back"),
            cls="actions",
        ),
        P(f"Taken back, it leaves the {each.kind.plural} that were changed since.", cls="quiet"),
    )


def _undoing(each: Import) -> Safe:
    if each.before:
        return Div(P(_turn(each)), P(f"{each.kind.counted(each.rows_done)} to take out."))
    return Div(
        _bar(each.rows_total - each.rows_done, each.rows_total, "Taking back"),
        P(f"{each.kind.counted(each.rows_done)} still to take out."),
    )


def _undone(each: Import) -> Safe:
    return Div(
        P(each.error, cls="form-error") if each.error else None,
        P(
            f"Every {each.kind.noun} that this import had made is out again{known_rows.put_back(each)}; "
            "the rest is as it was."
        )
        if not each.rows_kept
        else P(
            Strong(each.kind.counted(each.rows_kept)),
            f" {'was' if each.rows_kept == 1 else 'were'} changed or replaced since and stay"
            f"{'s' if each.rows_kept == 1 else ''}. "
            f"Whatever else this import had made is out again{known_rows.put_back(each)}.",
        ),
        _again(),
    )


def _failed(each: Import) -> Safe:
    return Div(
        P(each.error, cls="form-error", role="alert"),
        P("Nothing was written."),
        _again(),
        P(
            "If it was read wrongly, bring it once more and ",
            A("say how it is to be read", href=_with_choices(each)),
            ".",
        ),
    )


def _discarded(each: Import) -> Safe:
    return Div(P("Nothing was written."), _again())


def _expired(each: Import) -> Safe:
    return Div(
        P(
            f"The file waited {WAITING_DAYS} days for its import to be started, and was then deleted. "
            "Nothing was written; bring the file again."
        ),
        _again(),
    )


_BODIES = {
    "checking": _checking,
    "ready": _ready,
    "writing": _writing,
    "done": _done,
    "undoing": _undoing,
    "undone": _undone,
    "failed": _failed,
    "discarded": _discarded,
    "expired": _expired,
}


def _sample(kind: ImportKind, rows: Sequence[Mapping[str, Any]]) -> Safe:
    return Div(
        Table(
            Thead(Tr([Th(label, scope="col") for label in kind.labels.values()])),
            Tbody([Tr([Td(_shown(row[name])) for name in kind.labels]) for row in rows]),
        ),
        cls="scroll",
        tabindex="0",
        role="region",
        aria_label=f"The first {kind.plural}",
    )


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return "–" if value in (None, "") else _shortened(str(value))


def _reading(each: Import, columns: Sequence[Mapping[str, Any]]) -> Safe:
    """Which column becomes what, and how the file was read, to be corrected; one form, so that nothing is lost."""
    return Form(
        question(each.understood),
        None if each.understood.get("own_export") else _mapping(each, columns),
        how_it_was_read(each.understood),
        Button("Read again with these", cls="button"),
        cls="reading",
        method="post",
        action=f"/imports/{each.id}/columns",
    )


def _mapping(each: Import, columns: Sequence[Mapping[str, Any]]) -> Safe:
    """Which column becomes what."""
    taken = {column["field"]: column["name"] for column in columns if column["field"]}
    spare = [column for column in columns if not column["field"]]
    labels, first = each.kind.labels, next(iter(each.kind.labels))
    return Details(
        Summary(
            "Columns: ",
            ", ".join(f"{labels[field]} from “{isolated(taken[field])}”" for field in labels if field in taken),
        ),
        Div(
            [
                Label(
                    name,
                    Select(
                        Option("– none –", value="", selected=field not in taken)
                        if field != first or field not in taken
                        else None,
                        [
                            Option(column["name"], value=column["name"], selected=taken.get(field) == column["name"])
                            for column in columns
                        ],
                        name=field,
                    ),
                )
                for field, name in labels.items()
            ],
            cls="choices",
        ),
        (
            P(f"What has no place of its own is kept at the end of the {each.kind.rest}:")
            if each.kind.rest
            else P("These have no place:"),
            Ul([Li(Code(own(column["name"])), _examples(column)) for column in spare]),
        )
        if spare
        else None,
        open=first not in taken,
    )


def _left_out(each: Import, columns: Sequence[Mapping[str, Any]]) -> Safe | None:
    """Says which columns are left out, where the kind has no place for them."""
    spare = [isolated(column["name"]) for column in columns if not column["field"]]
    return P("Left out, as no field fits: ", Strong(", ".join(spare)), ".") if spare and not each.kind.rest else None


def _examples(column: Mapping[str, Any]) -> Safe | None:
    examples = ", ".join(isolated(str(example)) for example in column["examples"])
    return Span(f" such as {_shortened(examples)}", cls="quiet") if examples else None


def _problems(each: Import) -> Safe | None:
    if not each.problem_count:
        return None
    shown = each.problems[:SHOWN_PROBLEMS]
    rest = each.problem_count - len(shown)
    return Details(
        Summary(f"{each.problem_count:,} {'row' if each.problem_count == 1 else 'rows'} cannot be used"),
        Ul(
            [Li(f"Line {problem['line']:,}: {problem['reason']}") for problem in shown],
            Li(f"and {rest:,} more") if rest > 0 else None,
        ),
        cls="problems",
    )


def _history(imports: Sequence[ListedImport]) -> Safe:
    return Section(
        H2("Imports so far"),
        Ul(
            [
                Li(
                    A(own(each.filename), href=f"/imports/{each.id}"),
                    Span(_state(each), cls=f"state {each.state}"),
                    Span(each.kind.counted(each.rows_total), cls="quiet") if each.rows_total else None,
                )
                for each in imports
            ],
            cls="history",
        ),
        cls="card",
    )


def _exports(kinds: Sequence[ImportKind]) -> Safe:
    return Section(
        H2(f"Take your {kinds[0].plural} out" if len(kinds) == 1 else "Take your data out"),
        P("All of it, at any time."),
        [_downloads(kind, named=len(kinds) > 1) for kind in kinds],
        Ul(
            Li(A("SQLite", href="/export.db"), Span(" the whole file, as a backup", cls="quiet")),
            cls="downloads",
        ),
        cls="card summary",
    )


def _downloads(kind: ImportKind, *, named: bool) -> tuple[Safe | None, Safe]:
    return (
        H3(_title(kind)) if named else None,
        Ul(
            Li(
                A("CSV", href=f"/{kind.table}/export.csv"),
                Span(" for spreadsheets and other apps", cls="quiet"),
            ),
            Li(A("JSON", href=f"/{kind.table}/export.json"), Span(" for programs", cls="quiet")),
            cls="downloads",
        ),
    )


def _title(kind: ImportKind) -> str:
    return kind.plural[:1].upper() + kind.plural[1:]


def _bar(value: int, most: int, label: str) -> Safe:
    percent = 100 * value // most if most else 0
    return Div(
        Progress(f"{percent} %", value=value, max=max(most, 1), aria_label=label),
        Span(f"{percent} %", cls="percent"),
        cls="progress",
    )


def _cancel(each: Import, words: str) -> Safe:
    return Form(Button(words, cls="button"), method="post", action=f"/imports/{each.id}/cancel")


def _again() -> Safe:
    return P(A("Import another file", href="/imports", cls="button"))


def _with_choices(each: Import) -> str:
    return f"/imports?kind={each.kind.table}&choices=yes"


def _sign(delimiter: str) -> str:
    return SIGNS.get(delimiter, f"“{delimiter}”")


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.1f} MB" if size >= 100_000 else f"{size / 1000:,.1f} kB"


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 80 else f"{flat[:79]}…"
