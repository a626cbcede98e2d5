"""Media types, as the headers Content-Type and Accept name them."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

LONGEST: Final = 1_024
"""How many characters of a header are understood; nobody needs more."""

_NAME: Final = re.compile(r"\s*([\w!#$&^.+*-]+/[\w!#$&^.+*-]+)\s*", re.ASCII)
_PARAMETER: Final = re.compile(r';\s*([\w!#$&^.+*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))\s*|;\s*', re.ASCII)
_UTF_8: Final = frozenset({"utf-8", "utf8"})


class MediaType(NamedTuple):
    """A type with its parameters; names are in lower case."""

    name: str
    parameters: Mapping[str, str]

    @property
    def is_utf_8(self) -> bool:
        """Whether its text is in UTF-8, which is so where nothing is said."""
        return self.parameters.get("charset", "utf-8").lower() in _UTF_8


def media_type(text: str) -> MediaType | None:
    """Read a media type; None for what is none."""
    found = _NAME.match(text) if len(text) <= LONGEST else None
    if found is None:
        return None
    position, parameters = found.end(), dict[str, str]()
    while position < len(text):
        parameter = _PARAMETER.match(text, position)
        if parameter is None:
            return None
        if parameter[1]:
            parameters[parameter[1].lower()] = parameter[3] or re.sub(r"\\(.)", r"\1", parameter[2] or "")
        position = parameter.end()
    return MediaType(found[1].lower(), parameters)


@lru_cache(maxsize=64)
def is_json(content_type: str | None) -> bool:
    """Whether a body of this type is JSON in UTF-8. A page of another origin cannot send such a body unasked."""
    found = media_type(content_type or "")
    return found is not None and found.name == "application/json" and found.is_utf_8
