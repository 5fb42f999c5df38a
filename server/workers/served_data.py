"""The identity of the database that a server serves: its later processes refuse to serve another file.

A process that begins while these data are gone, or others stand in their place, would serve those without a word. What
data are is known to the app alone: it says in `app.state.served` which they are, and asks at its start for `before`.
"""

import os
from typing import Any

import uvicorn

from server.app_name import PREFIX

VARIABLE = f"{PREFIX}SERVED"


def said_by(config: uvicorn.Config) -> str:
    """What the app that was loaded says of its data; empty where it says nothing."""
    # Where a proxy is believed, Uvicorn has a layer of its own around the app.
    app: Any = getattr(config.loaded_app, "app", config.loaded_app)
    return str(getattr(getattr(app, "state", None), "served", ""))


def remember(served: str) -> None:
    """Have this process, and those that it starts, know what was served before."""
    if served:
        os.environ[VARIABLE] = served


def before() -> str:
    """What was served before; empty in the first process."""
    return os.environ.get(VARIABLE, "")
