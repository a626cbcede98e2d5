"""Answers that come in pages: where the next one is, and when there is none."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Final

import httpx
import orjson
from pydantic import ConfigDict, Field, model_validator

from gql_app.core.errors import ToolError
from gql_app.core.values import Frozen, Json
from gql_app.tools.http_body import Pointer, find, kind_of
from gql_app.tools.http_url import check_url

MAXIMUM_PAGES: Final = 100
_ONE_WAY: Final = "give one of `link`, `url` and `cursor`, and `parameter` with `cursor`"
# Possessive throughout: whoever answers writes this header, and its reading must cost no more than its length.
_NAME: Final = r"[\w*.-]++"
_VALUE: Final = r'(?:"((?:[^"\\]|\\.)*+)"|([^\s",;]++))'
_LINK: Final = re.compile(rf"[\s,]*+<([^<>]*+)>\s*+((?:;\s*+(?:{_NAME}\s*+(?:=\s*+{_VALUE}?\s*+)?+)?+)*+)(?:,|$)")
_PARAMETER: Final = re.compile(rf";\s*+({_NAME})\s*+=\s*+{_VALUE}")


class Pages(Frozen):
    """How to read on: each page has a list of items (at `select`, else the page itself), and they are joined."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["link"]}, {"required": ["url"]}, {"required": ["cursor", "parameter"]}],
            "dependentRequired": {"parameter": ["cursor"]},
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
    maximum: Annotated[
        int, Field(ge=1, le=MAXIMUM_PAGES, description="Read no more than so many; the answer tells whether there are.")
    ] = MAXIMUM_PAGES

    @model_validator(mode="after")
    def _one_way(self) -> "Pages":
        given = [way for way in (self.link, self.url, self.cursor) if way is not None]
        if len(given) != 1 or (self.cursor is None) != (self.parameter is None):
            raise ValueError(_ONE_WAY)
        return self

    def following(self, number: int, response: httpx.Response, body: Json, asked: httpx.URL) -> httpx.URL | None:
        """Tell where the next page is; none after the last. Raises `ToolError` for what leads nowhere."""
        if self.cursor is not None and self.parameter is not None:
            cursor = find(body, self.cursor, None)
            if cursor is None or cursor == "":
                return None
            if isinstance(cursor, bool | dict | list):
                raise _unreadable(
                    f"The cursor at `{self.cursor}` of page {number} is {kind_of(cursor)}, not a text or a number."
                )
            return asked.copy_set_param(self.parameter, cursor)
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
    _seen: set[str] = field(default_factory=set)

    def expect(self, url: httpx.URL) -> None:
        """Note that a page is asked for. Raises `ToolError` if it was before."""
        if str(url) in self._seen:
            raise ToolError(
                f"Page {self.count} names one as the next that was read already: it would go on for ever.",
                type="PageLoop",
                retryable=False,
            )
        self._seen.add(str(url))

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
