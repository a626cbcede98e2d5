"""Takes secrets out of what is shown: best effort, for what a tool does with them nobody knows."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from itertools import chain
from typing import Final

from gql_app.core.values import Json

SHORTEST: Final = 8
"""Shorter values are left: taking them out would tear ordinary words apart."""

LONGEST_FORM: Final = 12
"""So many characters stand for one of a secret at most: percent-encoded, one beyond the basic plane has twelve."""

_MARK: Final = re.compile(r"(\[secret \w+\])")
_UNIT: Final = re.compile(r"\\u([0-9a-f]{4})")


class Redactor:
    """Replaces secrets by `[secret NAME]`: as they are, escaped for JSON or Python, percent-encoded, and in base64."""

    def __init__(self, *secrets: Mapping[str, str]) -> None:
        pairs = sorted(chain.from_iterable(each.items() for each in secrets), reverse=True)
        self._hidden = hidden = {value: name for name, value in pairs if len(value) >= SHORTEST}
        # A secret that another one is a part of goes first.
        values = sorted(hidden, key=len, reverse=True)
        self._names = [hidden[value] for value in values]
        self._pattern = re.compile("|".join(f"({_forms(value)})" for value in values)) if values else None
        self._reach = LONGEST_FORM * max(map(len, values), default=0)

    def __bool__(self) -> bool:
        """Tell whether there is anything to take out."""
        return self._pattern is not None

    def hide(self, text: str) -> str:
        """Take the secrets out of a text."""
        return text if self._pattern is None else self._pattern.sub(self._mark, text)

    def hide_start(self, text: str) -> tuple[str, str]:
        """Take the secrets out of the beginning of a text that goes on.

        Tells what can be shown, and the end that is to be put before what follows: a secret may begin there.
        """
        if self._pattern is None:
            return text, ""
        cut = max(0, len(text) - self._reach)
        for found in self._pattern.finditer(text):
            if found.start() < cut < found.end():
                cut = found.start()
                break
        return self.hide(text[:cut]), text[cut:]

    def hide_in_message(self, text: str) -> str:
        """Take the secrets out of the message of an error, which may have been cut in the middle of one."""
        parts = _MARK.split(self.hide(text))
        parts[::2] = map(self._hide_cut, parts[::2])
        return "".join(parts)

    def hide_in(self, value: Json) -> Json:
        """Copy a JSON value without the secrets in its texts and in the names of its fields."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self.hide_in(item) for item in value]
        if not isinstance(value, dict):
            return value
        result: dict[str, Json] = {}
        for name, item in value.items():
            result[_unused(self.hide(name), result)] = self.hide_in(item)
        return result

    def _hide_cut(self, text: str) -> str:
        for value, name in self._hidden.items():
            mark, position = f"[secret {name}]", 0
            while (start := text.find(value[:SHORTEST], position)) >= 0:
                end = start + SHORTEST
                while end < len(text) and value.startswith(text[start : end + 1]):
                    end += 1
                text = text[:start] + mark + text[end:]
                position = start + len(mark)
        return text

    def _mark(self, found: "re.Match[str]") -> str:
        assert found.lastindex is not None
        return f"[secret {self._names[found.lastindex - 1]}]"


def _unused(name: str, taken: Mapping[str, Json]) -> str:
    """Tell apart fields whose names were different before."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name} ({count})"
    return free


def _forms(value: str) -> str:
    """Write the pattern of everything that is the value to a reader.

    Each form is a text of its own, without repetition: a hostile text costs no more than its length.
    """
    texts = dict.fromkeys((*_escaped(value), repr(value)[1:-1]))
    for text in list(texts):
        texts.update(dict.fromkeys(_escaped(text)))
    return "|".join(
        [*map(re.escape, sorted(texts, key=len, reverse=True)), _percent_encoded(value), *_in_base64(value.encode())]
    )


def _escaped(text: str) -> list[str]:
    """Write a text as it stands in JSON, however much of it is escaped there."""
    ascii_only = json.dumps(text)[1:-1]
    upper = _UNIT.sub(lambda unit: rf"\u{unit[1].upper()}", ascii_only)
    written = [text, json.dumps(text, ensure_ascii=False)[1:-1], ascii_only, upper]
    return [*written, *(each.replace("/", r"\/") for each in written)]


def _percent_encoded(value: str) -> str:
    """Write the pattern of the value in a URL, whichever of its characters are encoded there."""
    return "".join(map(_in_url, value))


def _in_url(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    encoded = "".join(f"%{byte:02x}" for byte in character.encode())
    plus = r"|\+" if character == " " else ""
    return f"(?:(?i:{encoded})|{re.escape(character)}{plus})"


def _in_base64(value: bytes) -> list[str]:
    """Write the patterns of the value in base64, wherever in what was encoded it begins.

    The first and the last characters there hold bits of what stands beside it; they are left out.
    """
    patterns = []
    for before in range(3):
        encoded = b64encode(b"\0" * before + value).decode()
        inner = encoded[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        patterns.append(re.escape(inner).replace(r"\+", "[+-]").replace("/", "[/_]"))
    return patterns
