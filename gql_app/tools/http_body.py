"""The body of an answer: read up to a limit, decompressed, decoded."""

import codecs
import zlib
from collections.abc import Callable
from typing import Final

import httpx
import orjson

from gql_app.core.errors import ToolError
from gql_app.core.values import Json

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
# Only character sets: Python knows decoders that are none, and some that take quadratic time.
_CHARACTER_SETS: Final = ("ascii", "big5", "cp", "euc", "gb", "iso8859", "koi8", "latin", "shift_jis", "utf-")


async def read_body(response: httpx.Response, maximum: int, heartbeat: Callable[[], None]) -> bytes:
    """Read a body of at most `maximum` bytes, with a sign of life for every piece. Raises `ToolError`."""
    body = _Body(response.headers.get("content-encoding", ""), maximum)
    async for piece in response.aiter_raw():
        heartbeat()
        body.add(piece)
    return body.end()


def decode_body(response: httpx.Response, data: bytes) -> Json:
    """Decode a body: JSON if the content type says so, else text; bytes that are no text are replaced."""
    if _is_json(response):
        if not data:
            return None
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ToolError(
                f"The answer says it is JSON but is not: {error.msg} at character {error.pos + 1}.",
                type="InvalidResponseBody",
            ) from error
    return data.decode(_character_set(response.charset_encoding), "replace")


class _Body:
    """Collects a body piece by piece. Never holds more than the limit, however well it was compressed."""

    def __init__(self, encoding: str, maximum: int) -> None:
        self._maximum = maximum
        self._data = bytearray()
        match encoding.strip().lower():
            case "" | "identity":
                self._decompressor = None
            case "gzip" | "x-gzip" | "deflate":
                self._decompressor = zlib.decompressobj(_GZIP_OR_ZLIB)
            case other:
                raise ToolError(
                    f"The answer is encoded as {other[:60]!r}, which was not asked for.",
                    type="InvalidResponseBody",
                    retryable=False,
                )

    def add(self, piece: bytes) -> None:
        if self._decompressor is not None:
            try:
                piece = self._decompressor.decompress(piece, self._maximum + 1 - len(self._data))
            except zlib.error as error:
                raise self._broken() from error
        if len(self._data) + len(piece) > self._maximum:
            raise ToolError(
                f"The answer's body is over the limit of {self._maximum} bytes. Ask for less of it.",
                type="ResponseTooLarge",
                retryable=False,
            )
        self._data += piece

    def end(self) -> bytes:
        decompressor = self._decompressor
        if decompressor is not None and self._data and (not decompressor.eof or decompressor.unused_data):
            raise self._broken()
        return bytes(self._data)

    def _broken(self) -> ToolError:
        return ToolError("The answer's compressed body is broken.", type="InvalidResponseBody")


def _is_json(response: httpx.Response) -> bool:
    kind: str = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _character_set(name: str | None) -> str:
    try:
        canonical = codecs.lookup(name or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return canonical if canonical.startswith(_CHARACTER_SETS) else "utf-8"
