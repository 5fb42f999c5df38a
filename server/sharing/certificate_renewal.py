"""A server that runs for longer than its certificate is valid takes up the next one, for every connection from then on.

Looked for once an hour: a certificate made here is made anew in its last thirty days, one of the person's own is taken
up when its files are others. What cannot be used is said in the log, and the one before stays.
"""

import asyncio
import logging
import os
import ssl
from functools import partial

import uvicorn

from server import background_work
from server.settings import Settings, SettingsError
from server.sharing import certificate

LOOK_SECONDS = 3600
State = list[tuple[int, int]]

logger = logging.getLogger(__name__)


def begin(config: uvicorn.Config) -> "asyncio.Task[None] | None":
    """Look after the certificate of a server; its task, for the server to keep. None without https."""
    if config.ssl is None:
        return None
    seen = _state(config.ssl_certfile, config.ssl_keyfile)
    look_after = partial(_look_after, config.ssl, seen, Settings.from_environment())
    return background_work.begin("Renewing the certificate", look_after)


async def _look_after(serving: ssl.SSLContext, seen: State, settings: Settings) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            # To make one takes a while.
            cert, key = await asyncio.to_thread(certificate.files, settings)
            found = _state(cert, key)
            if cert is not None and found != seen:
                serving.load_cert_chain(cert, key)
                seen = found
                logger.info("Another certificate is used from now on: %s", cert)
        except (SettingsError, OSError) as error:
            logger.warning("The certificate was not renewed, and the one before is used on: %s", error)


def _state(*paths: str | os.PathLike[str] | None) -> State:
    """What differs where files were written anew."""
    found = [os.stat(path) for path in paths if path is not None]
    return [(each.st_mtime_ns, each.st_ino) for each in found]
