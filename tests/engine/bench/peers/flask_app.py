"""The list in Flask with Jinja2."""

import threading
from datetime import date
from sqlite3 import Connection

from flask import Flask, render_template

from tests.engine.bench.peers.jinja import GLOBALS
from tests.engine.bench.peers.tasks import connect, count_tasks, first_page

app = Flask(__name__)
app.jinja_env.globals.update(GLOBALS)
of_thread = threading.local()


@app.get("/tasks")
def list_tasks() -> str:
    """The newest tasks."""
    connection = reader()
    tasks, more = first_page(connection)
    counts = count_tasks(connection)
    return render_template("tasks.html", tasks=tasks, more=more, counts=counts, today=date.today())


def reader() -> Connection:
    """This thread's connection."""
    if not hasattr(of_thread, "connection"):
        of_thread.connection = connect()
    return of_thread.connection  # type: ignore[no-any-return]
