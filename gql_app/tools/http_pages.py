"""Answers that come in pages: where the next one is, and when there is none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import httpx
import orjson
from pydantic import ConfigDict, Field, model_validator

from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.core.pointers import split_pointer, take_step
from gql_app.core.values import Frozen, Json
from gql_app.tools.http_body import Pointer, find, kind_of
from gql_app.tools.http_url import check_url

MAXIMUM_PAGES: Final = 100
_ONE_WAY: Final = "give one of `link`, `url` and `cursor`, and with `cursor` either `parameter` or `field`"
# Possessive throughout: whoever answers writes this header, and its reading must cost no more than its length.
_NAME: Final = r"[\w*.-]++"
_VALUE: Final = r'(?:"((?:[^"\\]|\\.)*+)"|([^\s",;]++))'
_LINK: Final = re.compile(rf"[\s,]*+<([^<>]*+)>\s*+((?:;\s*+(?:{_NAME}\s*+(?:=\s*+{_VALUE}?\s*+)?+)?+)*+)(?:,|$)")
_PARAMETER: Final = re.compile(rf";\s*+({_NAME})\s*+=\s*+{_VALUE}")


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is to be asked for."""

    url: httpx.URL
    json: Json = None
    """The JSON body to ask with."""
    cursor: str | int | float | None = None
    """What in there makes it this page."""

    @property
    def shown(self) -> str:
        """What an answer tells of it."""
        return str(self.url.copy_with(userinfo=b"")) if self.cursor is None else str(self.cursor)


class Pages(Frozen):
    """How to read on: each page has a list of items (at `select`, else the page itself), and they are joined."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["link"]},
                {"required": ["url"]},
                {"required": ["cursor", "parameter"]},
                {"required": ["cursor", "field"]},
            ],
            "dependentRequired": {"parameter": ["cursor"], "field": ["cursor"]},
            "description": f"Read the pages that follow, too: {_ONE_WAY}.",
        }
    )

    link: Annotated[
        str | None,
        Field(min_length=1, max_length=100, description="The header `Link` with this `rel`, mostly `next`, names it."),
    ] = None
    url: Annotated[Pointer | None, Field(description="Its URL stands here in the body; null or none: the end.")] = None
    cursor: Annotated[
        Pointer | None, Field(description="A cursor stands here in the body; null, none or empty: the end.")
    ] = None
    parameter: Annotated[
        str | None, Field(min_length=1, max_length=200, description="The query parameter that takes the cursor.")
    ] = None
    field: Annotated[
        Pointer | None, Field(description="Or the place in `json` that takes it, such as `/variables/after`.")
    ] = None
    maximum: Annotated[
        int, Field(ge=1, le=MAXIMUM_PAGES, description="Read no more than so many; the answer tells whether there are.")
    ] = MAXIMUM_PAGES

    @model_validator(mode="after")
    def _one_way(self) -> "Pages":
        given = [way for way in (self.link, self.url, self.cursor) if way is not None]
        takers = [taker for taker in (self.parameter, self.field) if taker is not None]
        if len(given) != 1 or len(takers) != (self.cursor is not None):
            raise ValueError(_ONE_WAY)
        return self

    def following(self, number: int, response: httpx.Response, body: Json, asked: Page) -> Page | None:
        """Tell where the next page is; none after the last. Raises `ToolError` for what leads nowhere."""
        if self.cursor is None:
            url = self._next_url(number, response, body)
            return None if url is None else Page(url, asked.json)
        cursor = find(body, self.cursor, None)
        if cursor is None or cursor == "":
            return None
        if isinstance(cursor, bool | dict | list):
            raise _unreadable(
                f"The cursor at `{self.cursor}` of page {number} is {kind_of(cursor)}, not a text or a number."
            )
        if self.field is not None:
            return Page(asked.url, put(asked.json, split_pointer(self.field), cursor), cursor)
        return Page(asked.url.copy_set_param(self.parameter or "", cursor), asked.json)

    def _next_url(self, number: int, response: httpx.Response, body: Json) -> httpx.URL | None:
        target = find(body, self.url, None) if self.url is not None else find_link(response, self.link or "")
        if target is None or target == "":
            return None
        if not isinstance(target, str):
            raise _unreadable(
                f"What stands at `{self.url}` of page {number} is {kind_of(target)}, not the URL of the next page."
            )
        try:
            url = response.url.join(target)
            check_url(str(url))
        except (httpx.InvalidURL, ValueError) as error:
            raise _unreadable(f"Page {number} names one as the next that cannot be asked: {error}.") from error
        return url


@dataclass(slots=True)
class Collected:
    """The items of the pages that have been read."""

    maximum_bytes: int
    items: list[Json] = field(default_factory=list)
    count: int = 0
    _size: int = 0
    _seen: set[tuple[str, str | int | float | None]] = field(default_factory=set)

    def expect(self, page: Page) -> None:
        """Note that a page is asked for. Raises `ToolError` if it was before."""
        if (str(page.url), page.cursor) in self._seen:
            raise ToolError(
                f"Page {self.count} names one as the next that was read already: it would go on for ever.",
                type="PageLoop",
                retryable=False,
            )
        self._seen.add((str(page.url), page.cursor))

    def add(self, part: Json, select: str | None) -> None:
        """Take a page's items. Raises `ToolError` for what is no list, and for more than may be kept."""
        self.count += 1
        if not isinstance(part, list):
            where = "The body" if select is None else f"What stands at `{select}`"
            raise _unreadable(
                f"{where} of page {self.count} is {kind_of(part)}, not a list of items. Say where it is with `select`."
            )
        self._size += len(orjson.dumps(part))
        if self._size > self.maximum_bytes:
            raise ToolError(
                f"The items of {self.count} pages are over the limit of {self.maximum_bytes} bytes. Read fewer pages.",
                type="ResponseTooLarge",
                retryable=False,
            )
        self.items += part


def put(value: Json, path: Sequence[str], new: Json) -> Json:
    """Copy a JSON value with something else at a place. Raises `InvalidInputError` where there is no such place."""
    if not path:
        return new
    step, *rest = path
    if isinstance(value, dict):
        return {**value, step: put(value.get(step, {}), rest, new)}
    try:
        inner = take_step(value, step)
    except LookupError as error:
        raise InvalidInputError(
            f"`pages.field` leads nowhere in `json`: what has no `{step[:60]}` is {kind_of(value)}."
        ) from error
    return [put(inner, rest, new) if index == int(step) else item for index, item in enumerate(value)]


def find_link(response: httpx.Response, relation: str) -> str | None:
    """Find the target of the first link with this relation in the header `Link` (RFC 8288)."""
    text: str = response.headers.get("link", "")
    position = 0
    while (found := _LINK.match(text, position)) is not None and found.end() > position:
        position = found.end()
        parameters: dict[str, str] = {}
        for name, quoted, plain in _PARAMETER.findall(found[2]):
            parameters.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)
        # A link with an anchor is about something else.
        if relation.lower() in parameters.get("rel", "").lower().split() and "anchor" not in parameters:
            return found[1].strip()
    return None


def _unreadable(message: str) -> ToolError:
    return ToolError(message, type="InvalidResponseBody", retryable=False)
