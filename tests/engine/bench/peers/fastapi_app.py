"""The list in FastAPI with Jinja2."""

from datetime import date

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from tests.engine.bench.peers.jinja import environment
from tests.engine.bench.peers.tasks import connect, count_tasks, first_page

app = FastAPI()
templates = Jinja2Templates(env=environment)
connection = connect()


# `async`, as the query is shorter than the way to a thread and back.
@app.get("/tasks", response_class=HTMLResponse)
async def list_tasks(request: Request) -> HTMLResponse:
    """The newest tasks."""
    tasks, more = first_page(connection)
    context = {"tasks": tasks, "more": more, "counts": count_tasks(connection), "today": date.today()}
    return templates.TemplateResponse(request, "tasks.html", context)
