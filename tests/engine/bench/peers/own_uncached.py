"""This app with nothing kept: no fragment cache, no memo of rows; each answer is made as the peers make it.

Only the outline of a row is kept, as they keep their compiled templates.
"""

from app.main import app
from templates import tasks

guard = app.build_middleware_stack()
guard.app = guard.app.app  # type: ignore[attr-defined]
app.middleware_stack = guard
tasks.task_row = tasks.task_row.__wrapped__  # type: ignore[assignment]
