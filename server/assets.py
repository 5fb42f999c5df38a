"""Static files under names that carry the hash of their content, so that browsers may keep them for ever.

Text is sent packed (Brotli, gzip), whichever the browser says it can read. Each file is packed once, when it is first
asked for, and the result is kept in memory until the content changes.

Only files inside the directory are served, and none outside is even opened, whatever the spelling of the path:
Starlette's StaticFiles compares real paths.
"""

import asyncio
import contextlib
import gzip
import os
import stat
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, PathLike, StaticFiles
from starlette.types import Scope

FOR_EVER = "public, max-age=31536000, immutable"
# The smallest first: that is what a browser gets that likes several equally well.
PACKINGS = ("br", "gzip")
PLAIN = "identity"
# Of so many names it is remembered which file they are.
KNOWN_PATHS = 256


class _Packed(NamedTuple):
    hash: str
    # None where packing does not make it smaller.
    content: bytes | None


class Assets(StaticFiles):
    """The ASGI app that serves `directory`, mounted at `prefix`."""

    def __init__(self, directory: Path, prefix: str = "/static", packs: bool = True) -> None:
        super().__init__(directory=directory)
        self.root = directory
        self.prefix = prefix
        self.packs = packs
        # The last content of each file in each packing that was asked for.
        self._packed: dict[tuple[str, str], _Packed] = {}
        self._packing = asyncio.Lock()
        self._paths: dict[str, str] = {}

    def url(self, name: str) -> str:
        """The address of the file called `name`, which changes when the file does.

        Raises FileNotFoundError for a file that is not there.
        """
        path, found = self._found(name)
        if found is None or not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(f"There is no file {self.root / name}.")
        plain = PurePosixPath(name)
        return f"{self.prefix}/{plain.with_suffix('.' + _hash(path, _stamp(found)) + plain.suffix)}"

    def _found(self, name: str) -> tuple[str, os.stat_result | None]:
        """The file called `name`. Where its path leads is found out once: every page names seven files."""
        path = self._paths.get(name)
        if path is not None:
            with contextlib.suppress(OSError):
                return path, os.stat(path)
        path, found = self.lookup_path(name)
        if found is not None and len(self._paths) < KNOWN_PATHS:
            self._paths[name] = path
        return path, found

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file at `path`; what the file system will not follow (a link to itself) is not there."""
        with contextlib.suppress(OSError):
            return super().lookup_path(path)
        return "", None

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer the file of a hashed name, to be kept for ever, or of its plain name, to be asked for again."""
        name = self._without_hash(path)
        file = await super().get_response(name or path, scope)
        file.headers["cache-control"] = FOR_EVER if name else "no-cache"
        asked = Headers(scope=scope)
        answer = await self._suited(file, asked) if isinstance(file, FileResponse) else file
        if self.is_not_modified(answer.headers, asked):
            return NotModifiedResponse(answer.headers)
        if scope["method"] == "HEAD":
            answer.body = b""
        return answer

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file as it is; whether the browser has it already is asked when its packing is known."""
        etag = f'"{_hash(str(full_path), _stamp(stat_result))}"'
        return FileResponse(full_path, status_code, {"etag": etag}, stat_result=stat_result)

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

    async def _suited(self, file: FileResponse, asked: Headers) -> Response:
        """The file in the form that the browser likes best; a part of it is always of the plain form."""
        if not self.packs or not _is_text(file.media_type or ""):
            return file
        file.headers["vary"] = "Accept-Encoding"
        liked = _liked(",".join(asked.getlist("accept-encoding")))
        if "range" in asked:
            return file
        for packing in liked:
            if packing == PLAIN:
                return file
            content = await self._content(file, packing)
            if content is not None:
                return _response(file, packing, content)
        raise HTTPException(406, "This file is not there in a form that Accept-Encoding allows.")

    async def _content(self, file: FileResponse, packing: str) -> bytes | None:
        """The content of a file, packed: once, in a thread, while all others who ask wait for the same bytes."""
        key = (str(file.path), packing)
        hash = file.headers["etag"].strip('"')
        if not self._has(key, hash):
            async with self._packing:
                if not self._has(key, hash):
                    self._packed[key] = await asyncio.to_thread(_pack, *key)
        packed = self._packed[key]
        # A file that was written to in this moment is sent as it is.
        return packed.content if packed.hash == hash else None

    def _has(self, key: tuple[str, str], hash: str) -> bool:
        packed = self._packed.get(key)
        return packed is not None and packed.hash == hash


def _liked(accepted: str) -> list[str]:
    """The forms that an Accept-Encoding header allows, the best liked first (RFC 9110, section 12.5.3)."""
    weights = dict(map(_weighed, filter(str.strip, accepted.lower().split(","))))
    others = weights.get("*", 0.0)
    # What is plain is allowed where nothing forbids it, and liked least where nothing is said about it.
    weights.setdefault(PLAIN, weights.get("*", 0.0001))
    liked = sorted((*PACKINGS, PLAIN), key=lambda form: -weights.get(form, others))
    return [form for form in liked if weights.get(form, others) > 0]


def _weighed(form: str) -> tuple[str, float]:
    """A form and its weight; one that cannot be read refuses it."""
    name, _, parameter = form.partition(";")
    key, _, weight = parameter.partition("=")
    if not parameter:
        return name.strip(), 1.0
    try:
        return name.strip(), float(weight) if key.strip() == "q" else 1.0
    except ValueError:
        return name.strip(), 0.0


def _is_text(media_type: str) -> bool:
    """Whether it is worth packing: pictures and fonts are packed as they are."""
    return media_type.startswith("text/") or media_type.endswith(("javascript", "json", "xml"))


def _response(file: FileResponse, packing: str, content: bytes) -> Response:
    left_out = ("content-length", "accept-ranges", "etag")
    headers = {name: value for name, value in file.headers.items() if name not in left_out}
    headers["content-encoding"] = packing
    headers["etag"] = f'{file.headers["etag"][:-1]}-{packing}"'
    return Response(content, headers=headers)


def _pack(path: str, packing: str) -> _Packed:
    """Pack as small as it goes: it happens once for each content of a file."""
    content = Path(path).read_bytes()
    if packing == "br":
        import brotli  # Only the first browser that asks pays for loading it.

        packed = brotli.compress(content)
    else:
        packed = gzip.compress(content, mtime=0)
    return _Packed(_digest(content), packed if len(packed) < len(content) else None)


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    """What differs when a file has been written to or replaced."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=1024)
def _hash(path: str, stamp: tuple[int, ...]) -> str:
    """The hash of a file's content, computed again when its stamp differs."""
    return _digest(Path(path).read_bytes())


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=6).hexdigest()
