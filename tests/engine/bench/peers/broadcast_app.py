"""Live as FastAPI's and Starlette's documentation write it: a list of connections, sent to one after the other.

Only the way to the open pages is another than in this app: the file, the query and the HTML are the same.
"""

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.database.db import db
from app.records import rows
from app.tasks import tasks_of
from server.app_name import PREFIX
from templates.parts.lists import partial
from templates.tasks import TaskQuery, task_list

db.open(Path(os.environ[f"{PREFIX}DATA"]) / "app.db")


async def listed() -> str:
    """The list."""
    return task_list(await tasks_of(TaskQuery()))


class ConnectionManager:
    """The open pages."""

    def __init__(self) -> None:
        self.active: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Take one more."""
        await websocket.accept()
        self.active.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Forget one."""
        self.active.remove(websocket)

    async def broadcast(self, message: str) -> None:
        """Send a message to all."""
        for connection in list(self.active):
            try:
                await connection.send_text(message)
            except WebSocketDisconnect:
                continue  # It takes itself out.


manager = ConnectionManager()


async def live(websocket: WebSocket) -> None:
    """A page's connection."""
    await manager.connect(websocket)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        manager.disconnect(websocket)


async def list_tasks(request: Request) -> Response:
    """The newest tasks."""
    return HTMLResponse(await listed())


async def add_task(request: Request) -> Response:
    """Make a task of a form, and show it to all."""
    async with request.form() as form:
        title = str(form["title"])
    await db.write(lambda connection: rows.insert(connection, "tasks", {"title": title}))
    await manager.broadcast(partial("#tasks", "outerMorph", await listed()))
    return Response(status_code=201)


app = Starlette(
    routes=[
        Route("/tasks", list_tasks),
        Route("/tasks", add_task, methods=["POST"]),
        WebSocketRoute("/live", live),
    ]
)
