"""What `http.request` sends: encoded piece by piece while it is sent, never as a second copy of the whole."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from secrets import token_hex
from typing import Annotated, Final, TypeAlias
from urllib.parse import urlencode

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import to_json

from gql_app.core.values import Frozen, Json
from gql_app.tools.http_auth import HEADER_VALUE

_PIECE: Final = 64 << 10
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_ONE_CONTENT: Final = "a file has either `text` or `base64`"

QueryScalar: TypeAlias = str | int | float | bool
Fields: TypeAlias = dict[str, QueryScalar | list[QueryScalar]]


def _check_base64(text: str) -> str:
    if _BASE64.fullmatch(text) is None:
        raise ValueError("this is not base64: A-Z, a-z, 0-9, + and /, filled up with =, and nothing between")
    return text


def _check_media_type(text: str) -> str:
    if "/" not in text or HEADER_VALUE.fullmatch(text) is None:
        raise ValueError("this is not a content type, such as `text/csv`")
    return text


Base64 = Annotated[str, AfterValidator(_check_base64)]


class FormFile(Frozen):
    """A file of a form."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["base64"]}]})

    field: Annotated[str, Field(min_length=1, max_length=200, description="The form's field.")] = "file"
    name: Annotated[str, Field(min_length=1, max_length=200, description="The file's name.")]
    content_type: Annotated[
        str | None,
        AfterValidator(lambda text: None if text is None else _check_media_type(text)),
        Field(description="What it is; null stands for plain text, or for any bytes if it is base64."),
    ] = None
    text: Annotated[str | None, Field(description="What it holds, sent as UTF-8.")] = None
    base64: Annotated[Base64 | None, Field(description="Or what it holds, in base64.")] = None

    @model_validator(mode="after")
    def _one_content(self) -> "FormFile":
        if (self.text is None) == (self.base64 is None):
            raise ValueError(_ONE_CONTENT)
        return self

    @property
    def content(self) -> "Upload":
        """What it holds."""
        if self.base64 is not None:
            return of_base64(self.base64, self.content_type)
        return of_text(self.text or "", self.content_type)


@dataclass(frozen=True, slots=True)
class Upload:
    """A body, which can be sent more than once: after a redirect, for the next page."""

    content_type: str
    size: int
    pieces: Callable[[], Iterator[bytes]]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Encode it from the beginning."""
        for piece in self.pieces():
            yield piece


def of_bytes(data: bytes, content_type: str) -> Upload:
    """Send bytes as they are."""
    return Upload(content_type, len(data), lambda: iter((data,)))


def of_json(value: Json) -> Upload:
    """Send a JSON value."""
    return of_bytes(to_json(value), "application/json")


def of_text(text: str, content_type: str | None = None) -> Upload:
    """Send a text as UTF-8."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(text), _PIECE):
            yield text[start : start + _PIECE].encode()

    size = len(text) if text.isascii() else sum(map(len, pieces()))
    return Upload(content_type or "text/plain; charset=utf-8", size, pieces)


def of_base64(text: str, content_type: str | None = None) -> Upload:
    """Send the bytes that a text in base64 stands for."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(text), _PIECE):
            yield b64decode(text[start : start + _PIECE])

    size = len(text) // 4 * 3 - text.count("=")
    return Upload(content_type or "application/octet-stream", size, pieces)


def of_form(fields: Fields, files: Sequence[FormFile]) -> Upload:
    """Send a form: as multipart if there are files, else as a query is written."""
    pairs = list(_pairs(fields))
    if not files:
        return of_bytes(urlencode(pairs).encode(), "application/x-www-form-urlencoded")
    boundary = token_hex(16)
    parts: list[Upload] = []
    for name, value in pairs:
        parts += [_part(boundary, name), of_text(value)]
    for file in files:
        content = file.content
        parts += [_part(boundary, file.field, file.name, content.content_type), content]
    parts.append(of_text(f"\r\n--{boundary}--\r\n"))
    return Upload(
        f"multipart/form-data; boundary={boundary}",
        sum(part.size for part in parts),
        lambda: chain.from_iterable(part.pieces() for part in parts),
    )


def _part(boundary: str, field: str, name: str | None = None, content_type: str | None = None) -> Upload:
    head = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(field)}"'
    if name is not None:
        head += f'; filename="{_quoted(name)}"\r\nContent-Type: {content_type}'
    return of_text(f"{head}\r\n\r\n")


def _quoted(name: str) -> str:
    """Write a name as browsers do, so that it cannot end before its time."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _pairs(fields: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            yield name, str(item).lower() if isinstance(item, bool) else str(item)
