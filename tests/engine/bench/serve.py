"""Carries one ASGI app of the benchmark exactly as this app is carried: the same Uvicorn, the same configuration.

With `--defaults` it is carried as `uvicorn module:app` does, which compresses each message to each WebSocket; with
`--uncompressed` nothing is compressed there, which is the cheaper way for a server that does it for each.
With `--without-deadlines` HTTP has no limits but Uvicorn's own.
"""

import sys

import uvicorn

from server import run
from server.settings import Settings

ours = run.config


def defaults(settings: Settings) -> uvicorn.Config:
    """Uvicorn's configuration where nobody has chosen anything."""
    return uvicorn.Config(run.APP, log_level=settings.log_level)


def uncompressed(settings: Settings) -> uvicorn.Config:
    """This app's configuration, with the WebSocket protocol as Uvicorn has it; compression is off in both."""
    config = ours(settings)
    config.ws = "websockets-sansio"
    return config


def without_deadlines(settings: Settings) -> uvicorn.Config:
    """This app's configuration, with the HTTP protocol as Uvicorn has it, which waits for ever."""
    config = ours(settings)
    config.http = "httptools"
    return config


CONFIGURATIONS = {
    "--defaults": defaults,
    "--uncompressed": uncompressed,
    "--without-deadlines": without_deadlines,
}

if __name__ == "__main__":
    run.APP, *options = sys.argv[1:]
    for option in options:
        run.config = CONFIGURATIONS[option]
    sys.exit(run.serve(Settings(port=0, open=False, log_level="warning")))
