"""Carries one ASGI app of the benchmark exactly as this app is carried: the same Uvicorn, the same configuration."""

import sys

from server import run
from server.settings import Settings

if __name__ == "__main__":
    run.APP = sys.argv[1]
    sys.exit(run.serve(Settings(port=0, open=False, log_level="warning")))
