"""The list in stock FastHTML: `fast_app`, its tags, its rendering."""

from fasthtml.common import FT, fast_app, fh_cfg

from tests.engine.bench.peers.fasthtml_tags import task_list
from tests.engine.bench.peers.tasks import connect, count_tasks, first_page

# Indented HTML has more text nodes than ours, and takes longer.
fh_cfg.indent = False
app, rt = fast_app(secret_key="only for the benchmark")
connection = connect()


# `async`, as the query is shorter than the way to a thread and back.
@rt("/tasks", methods=["get"])
async def list_tasks() -> FT:
    """The newest tasks."""
    tasks, more = first_page(connection)
    return task_list(tasks, more, count_tasks(connection))
