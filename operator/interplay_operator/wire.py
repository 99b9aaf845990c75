"""JSON from the API server, however deep it is nested: one hostile object must not stop the rest.

Whoever may edit an object may write `managedFields` of any depth, and the API server keeps them.
Python's parser gives up at some depth, and with it would every list and watch that holds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Self

import aiohttp
from aiohttp.connector import Connection
from pydantic_core import from_json

__all__ = ["PLAIN", "Response", "loads"]

PLAIN = {"Accept-Encoding": "identity"}
"""Header: inside a cluster, compressing a list costs both sides more than its bytes do."""

MAX_DEPTH = 100
"""Several times that of any honest object."""
MANY = 500
"""Fewer brackets than this cannot be nested too deeply for any Python."""
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def loads(data: bytes) -> Any:
    """Parse; what Python cannot hold for its depth loses all that is too deep."""
    try:
        return from_json(data, cache_strings="all")
    except ValueError:
        # Nested too deeply for it, or a text that only Python takes.
        return _loads(data)


def _loads(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        return json.loads(_shallow(data))


def _shallow(data: bytes) -> bytes:
    """The same with null for whatever is nested too deeply, in linear time."""
    kept, depth, position = [], 0, 0
    for token in TOKEN.finditer(data):
        if token[0] in b"[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [data[position : token.start()], b"null"]
        elif token[0] in b"]}":
            if depth == MAX_DEPTH + 1:
                position = token.end()
            depth -= 1
    return b"".join([*kept, data[position:]])


class _Lines:
    """The body of a watch: whole lines, each of a depth that can be parsed."""

    def __init__(self, stream: aiohttp.StreamReader) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Chunks that end with a line, but for the last one."""
        rest = b""
        async for chunk in self._stream.iter_chunked(size):
            head, newline, rest_of = chunk.rpartition(b"\n")
            if newline:
                lines = (rest + head).split(b"\n")
                yield b"".join(_parsable(line) + b"\n" for line in lines)
                rest = rest_of
            else:
                rest += chunk
        if rest:
            yield _parsable(rest)


def _parsable(line: bytes) -> bytes:
    if line.count(b"{") + line.count(b"[") > MANY:
        try:
            json.loads(line)
        except RecursionError:
            return _shallow(line)
    return line


class Response(aiohttp.ClientResponse):
    """What kopf reads: it parses lists by `json` and watches line by line."""

    async def json(self, **_: Any) -> Any:
        """The whole body."""
        return loads(await self.read())

    async def start(self, connection: Connection) -> Self:
        """The headers are there; the body comes through us.

        What kopf reads exists, as our half has seen before kopf starts: a 404 is a server that is
        not itself yet, and kopf, which asks once for our kinds, would never watch any.
        """
        await super().start(connection)
        if self.status == HTTPStatus.NOT_FOUND:
            self.status = HTTPStatus.SERVICE_UNAVAILABLE
        self.content = _Lines(self.content)  # type: ignore[assignment]
        return self
