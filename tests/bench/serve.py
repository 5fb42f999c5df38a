"""Carries one ASGI app of the benchmark exactly as this app is carried: the same Uvicorn, the same configuration.

With `--defaults` it is carried as `uvicorn module:app` does, which compresses what goes over a WebSocket.
"""

import sys

import uvicorn

from server import run
from server.settings import Settings


def defaults(settings: Settings) -> uvicorn.Config:
    """Uvicorn's configuration where nobody has chosen anything."""
    return uvicorn.Config(run.APP, log_level=settings.log_level)


if __name__ == "__main__":
    run.APP = sys.argv[1]
    if sys.argv[2:] == ["--defaults"]:
        run.config = defaults
    sys.exit(run.serve(Settings(port=0, open=False, log_level="warning")))
