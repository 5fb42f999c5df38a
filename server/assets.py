"""Static files under names that carry the hash of their content, so that browsers may keep them for ever.

Only files inside the directory are served, and none outside is even opened, whatever the spelling of the path:
Starlette's StaticFiles compares real paths.
"""

import contextlib
import os
import stat
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOR_EVER = "public, max-age=31536000, immutable"


class Assets(StaticFiles):
    """The ASGI app that serves `directory`, mounted at `prefix`."""

    def __init__(self, directory: Path, prefix: str = "/static") -> None:
        super().__init__(directory=directory)
        self.root = directory
        self.prefix = prefix

    def url(self, name: str) -> str:
        """The address of the file called `name`, which changes when the file does.

        Raises FileNotFoundError for a file that is not there.
        """
        path, found = self.lookup_path(name)
        if found is None or not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(f"There is no file {self.root / name}.")
        plain = PurePosixPath(name)
        return f"{self.prefix}/{plain.with_suffix('.' + _hash(path, found.st_mtime_ns) + plain.suffix)}"

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer the file of a hashed name, to be kept for ever, or of its plain name, to be asked for again."""
        name = self._without_hash(path)
        response = await super().get_response(name or path, scope)
        if response.status_code in (200, 206, 304):
            response.headers["cache-control"] = FOR_EVER if name else "no-cache"
        return response

    def _without_hash(self, path: str) -> str | None:
        """The file that a hashed path names; None where the path has no hash, or one of other content."""
        hashed = PurePosixPath(path.replace(os.sep, "/"))
        if not hashed.name:
            return None
        stem = hashed.with_suffix("")
        for plain in (stem.with_suffix(hashed.suffix), stem):
            with contextlib.suppress(OSError, ValueError):
                if self.url(str(plain)) == f"{self.prefix}/{hashed}":
                    return str(plain)
        return None


@lru_cache(maxsize=1024)
def _hash(path: str, modified: int) -> str:
    """The hash of a file's content, computed again when its modification time differs."""
    return blake2b(Path(path).read_bytes(), digest_size=6).hexdigest()
