"""Live with python-socketio: an event that goes to every connection. The rest is as in `broadcast_app`."""

import socketio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.database.db import db
from app.records import rows
from templates.parts.lists import partial
from tests.engine.bench.peers.broadcast_app import list_tasks, listed

server = socketio.AsyncServer(async_mode="asgi")


async def add_task(request: Request) -> Response:
    """Make a task of a form, and show it to all."""
    async with request.form() as form:
        title = str(form["title"])
    await db.write(lambda connection: rows.insert(connection, "tasks", {"title": title}))
    await server.emit("tasks", partial("#tasks", "outerMorph", await listed()))
    return Response(status_code=201)


pages = Starlette(routes=[Route("/tasks", list_tasks), Route("/tasks", add_task, methods=["POST"])])
app = socketio.ASGIApp(server, pages)
