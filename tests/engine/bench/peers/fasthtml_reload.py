"""The list as FastHTML's documentation writes an app whose pages follow the code: `fast_app(live=True)`.

BENCH_LIVE is empty where another tool refreshes the pages. The headers that come from other origins are left out, and
htmx is our copy, as it is in our page.
"""

import os
from typing import Any

from fasthtml.common import Link, Script, Title, fast_app, fh_cfg
from starlette.responses import PlainTextResponse

from tests.engine.bench.peers.fasthtml_tags import task_list
from tests.engine.bench.peers.tasks import connect, count_tasks, first_page

fh_cfg.indent = False
app, rt = fast_app(
    live=bool(os.environ.get("BENCH_LIVE")),
    default_hdrs=False,
    pico=False,
    hdrs=(Link(rel="stylesheet", href="/static/app.css"), Script(src="/static/vendor/htmx.min.js")),
    secret_key="only for the benchmark",
)
connection = connect()


@rt("/tasks", methods=["get"])
async def list_tasks() -> Any:
    """The newest tasks."""
    tasks, more = first_page(connection)
    counts = count_tasks(connection)
    counts["all"] = sum((counts["open"], counts["done"]))
    return Title("Tasks"), task_list(tasks, more, counts)


@rt("/healthz", methods=["get"])
async def healthz() -> PlainTextResponse:
    """The least that it can answer."""
    return PlainTextResponse("ok")
