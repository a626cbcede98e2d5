"""The body of an answer: read up to a limit, decompressed, decoded, and a part of it selected."""

import codecs
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Annotated, Final, TypeAlias

import httpx
import orjson
from pydantic import AfterValidator, Field

from gql_app.core.errors import ToolError
from gql_app.core.pointers import POINTER, make_pointer, split_pointer, take_step
from gql_app.core.values import Json

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
# Only character sets: Python knows decoders that are none, and some that take quadratic time.
_CHARACTER_SETS: Final = ("ascii", "big5", "cp", "euc", "gb", "iso8859", "koi8", "latin", "shift_jis", "utf-")
_SHOWN_FIELDS: Final = 10
_SHOWN_CHARACTERS: Final = 60
_REQUIRED: Final = object()


def _check_pointer(text: str) -> str:
    split_pointer(text)
    return text


Pointer: TypeAlias = Annotated[
    str, Field(max_length=1_000, json_schema_extra={"pattern": f"^{POINTER}$"}), AfterValidator(_check_pointer)
]
"""A JSON Pointer (RFC 6901), as a text."""


class ResponseType(StrEnum):
    """What to make of a body."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"
    BASE64 = "base64"


async def read_body(response: httpx.Response, maximum: int, heartbeat: Callable[[], None]) -> bytes:
    """Read a body of at most `maximum` bytes, with a sign of life for every piece. Raises `ToolError`."""
    return b"".join([piece async for piece in read_pieces(response, maximum, heartbeat)])


async def read_pieces(response: httpx.Response, maximum: int, heartbeat: Callable[[], None]) -> AsyncIterator[bytes]:
    """Read a body piece by piece, at most `maximum` bytes, each with a sign of life. Raises `ToolError`."""
    decoder = _Decoder(response.headers.get("content-encoding", ""), maximum)
    async for piece in response.aiter_raw():
        heartbeat()
        yield decoder.decode(piece)
    decoder.end()


def decode_body(response: httpx.Response, data: bytes, wanted: ResponseType = ResponseType.AUTO) -> Json:
    """Decode a body, if nothing else is wanted as its content type says; bytes that are no text are replaced."""
    if wanted is ResponseType.BASE64:
        return b64encode(data).decode()
    says_json = content_type(response) == "application/json" or content_type(response).endswith("+json")
    if wanted is ResponseType.TEXT or not (says_json or wanted is ResponseType.JSON):
        return data.decode(character_set(response), "replace")
    if not data:
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        says = "says it is JSON but is not" if says_json else "is not JSON, and does not say it is"
        raise ToolError(
            f"The answer {says}: {error.msg} at character {error.pos + 1}.", type="InvalidResponseBody"
        ) from error


def find(value: Json, pointer: str, default: Json = _REQUIRED) -> Json:
    """Follow a pointer. Without a default, raises `ToolError` where it leads nowhere."""
    done: list[str] = []
    for step in split_pointer(pointer):
        try:
            value = take_step(value, step)
        except LookupError as error:
            if default is not _REQUIRED:
                return default
            where = f"`{make_pointer(done)[:_SHOWN_CHARACTERS]}`" if done else "it"
            raise ToolError(
                f"The answer's body has nothing at `{pointer[:_SHOWN_CHARACTERS]}`: {where} is {kind_of(value)}.",
                type="PointerNotFound",
                retryable=False,
            ) from error
        done.append(step)
    return value


def kind_of(value: Json) -> str:
    """Say what a JSON value is without telling it, but for the names of its fields."""
    match value:
        case dict() if value:
            names = [f'"{name[:_SHOWN_CHARACTERS]}"' for name in list(value)[:_SHOWN_FIELDS]]
            more = f" and {len(value) - len(names)} more" if len(value) > len(names) else ""
            return f"an object with {', '.join(names)}{more}"
        case dict():
            return "an empty object"
        case list():
            return f"a list of {len(value)}"
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a text"
        case _:
            return "a number"


def content_type(response: httpx.Response) -> str:
    """Tell the media type of a body, in lower case; empty if the server does not say."""
    header: str = response.headers.get("content-type", "")
    return header.partition(";")[0].strip().lower()


def character_set(response: httpx.Response) -> str:
    """Tell which character set a text is in."""
    try:
        canonical = codecs.lookup(response.charset_encoding or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return canonical if canonical.startswith(_CHARACTER_SETS) else "utf-8"


class _Decoder:
    """Decompresses a body piece by piece. Never gives more than the limit, however well it was compressed."""

    def __init__(self, encoding: str, maximum: int) -> None:
        self._maximum = maximum
        self._read = self._given = 0
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

    def decode(self, piece: bytes) -> bytes:
        self._read += len(piece)
        if self._decompressor is not None:
            try:
                piece = self._decompressor.decompress(piece, self._maximum + 1 - self._given)
            except zlib.error as error:
                raise self._broken() from error
        self._given += len(piece)
        if self._given > self._maximum:
            raise too_large(self._maximum)
        return piece

    def end(self) -> None:
        decompressor = self._decompressor
        if decompressor is not None and self._read and (not decompressor.eof or decompressor.unused_data):
            raise self._broken()

    def _broken(self) -> ToolError:
        return ToolError("The answer's compressed body is broken.", type="InvalidResponseBody")


def too_large(maximum: int) -> ToolError:
    """Say that a body is too big."""
    return ToolError(
        f"The answer's body is over the limit of {maximum} bytes. Ask for less of it.",
        type="ResponseTooLarge",
        retryable=False,
    )
