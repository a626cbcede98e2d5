"""Chooses the form of an answer by the header Accept."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from gql_app.web.content import LONGEST, MediaType, media_type


class Form(StrEnum):
    """How results are sent: as one JSON document, of either type, or as a stream."""

    RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    EVENTS = "text/event-stream"
    PARTS = "multipart/mixed"


PAGE: Final = "text/html"
OFFER: Final = ", ".join(form.value for form in Form)

_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a client takes: the form of one result, the form of many, and whether it would rather have a page."""

    single: Form | None = None
    stream: Form | None = None
    page: bool = False
    prefers_stream: bool = False
    """Whether it takes a single result rather as a stream of one."""

    @property
    def errors(self) -> Form:
        """The form in which it is told that nothing can begin."""
        return self.single or Form.JSON


class _Wish(NamedTuple):
    quality: float
    named: bool
    """By its name: a wildcard says only that anything will do."""


def negotiate(accept: str | None) -> Accepted:
    """Choose among what there is.

    Who says nothing, or that anything goes, gets `application/json`. Only who names a stream gets one.
    """
    if accept is None or len(accept) > LONGEST:
        return _ANYTHING
    return _negotiate(accept)


@lru_cache(maxsize=256)
def _negotiate(accept: str) -> Accepted:
    ranges = [found for element in _ELEMENT.findall(accept) if (found := media_type(element))]
    singles = {form: _wish(ranges, form, wildcards=True) for form in (Form.JSON, Form.RESPONSE)}
    streams = {form: _wish(ranges, form, wildcards=False) for form in (Form.EVENTS, Form.PARTS)}
    # Of two that are as welcome, the modern one if it was named.
    single = max(singles, key=lambda form: (*singles[form], singles[form].named and form is Form.RESPONSE))
    stream = max(streams, key=lambda form: streams[form])
    best, streamed = singles[single].quality, streams[stream].quality
    page = _wish(ranges, PAGE, wildcards=False)
    return Accepted(
        single=single if best else None,
        stream=stream if streamed else None,
        page=page.named and page.quality > 0 and page >= max(singles[single], streams[stream]),
        prefers_stream=streamed > best,
    )


def _wish(ranges: Iterable[MediaType], name: str, *, wildcards: bool) -> _Wish:
    """Tell how welcome a type is; the most specific range that it fits says so."""
    found = {found.name: _quality(found) for found in ranges if found.name != name or _fits(found)}
    if name in found:
        return _Wish(found[name], named=True)
    general = (found[each] for each in (f"{name.partition('/')[0]}/*", "*/*") if wildcards and each in found)
    return _Wish(next(general, 0.0), named=False)


def _fits(found: MediaType) -> bool:
    """Whether the parameters ask for what we send: UTF-8, and parts by the protocol of subscriptions."""
    if found.name == Form.PARTS:
        version = found.parameters.get("subscriptionspec")
        return version == "1.0" if version else "deferspec" not in found.parameters
    return found.is_utf_8


def _quality(found: MediaType) -> float:
    text = found.parameters.get("q", "1")
    return float(text) if _QUALITY.fullmatch(text) else 0.0


_ANYTHING: Final = _negotiate("*/*")
