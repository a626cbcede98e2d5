"""The tool `text.template`."""

import json
import re
from typing import Annotated, Final

from pydantic import Field

from gql_app.core.errors import InvalidInputError, InvalidOutputError
from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.settings import Settings
from gql_app.tools.arguments import shorten
from gql_app.tools.decorator import tool

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH: Final = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_QUOTED_CHARACTERS: Final = 60
_compact_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Template = Annotated[
    str,
    Field(description="The text. `{name}` stands for a value, `{name.field.0}` for one inside it, `{{` for a brace."),
]
Values = Annotated[
    dict[str, Json] | None,
    Field(description="The values by name. Texts stand as they are, everything else as compact JSON."),
]


def text_template(settings: Settings) -> Tool:
    """Make the tool; its text is no longer than an output may be."""

    @tool(name="text.template")
    async def template(template: Template, values: Values = None) -> str:
        """Fill values into a text."""
        return render(template, values or {}, settings.maximum_output_bytes)

    return template


def render(template: str, values: dict[str, Json], maximum: int) -> str:
    """Fill values into a template. Names only select keys and items: there is no way to an attribute or a call."""
    pieces: list[str] = []
    position = length = 0
    for token in _TOKEN.finditer(template):
        pieces += (template[position : token.start()], _replacement(token, values))
        length += len(pieces[-2]) + len(pieces[-1])
        if length > maximum:
            raise InvalidOutputError(f"The text is over {maximum} characters; use smaller values.")
        position = token.end()
    pieces.append(template[position:])
    return "".join(pieces)


def _replacement(token: re.Match[str], values: dict[str, Json]) -> str:
    text = token[0]
    if text in ("{{", "}}"):
        return text[0]
    if token[1] is None:
        raise InvalidInputError(
            f"The template has a single `{text}` at character {token.start() + 1}: write `{text * 2}` for a brace,"
            " or `{name}` for a value."
        )
    name = token[1].strip()
    if _PATH.fullmatch(name) is None:
        raise InvalidInputError(
            f"The template has `{shorten(text, _QUOTED_CHARACTERS)}` at character {token.start() + 1}: between braces"
            " stands a name, or names joined by dots; write `{{` and `}}` for braces."
        )
    value = _select(name, values)
    return value if isinstance(value, str) else _compact_json(value)


def _select(name: str, values: dict[str, Json]) -> Json:
    value: Json = values
    for part in name.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part[:9]) < len(value):
            value = value[int(part[:9])]
        else:
            raise InvalidInputError(
                f"The template names `{shorten(name, _QUOTED_CHARACTERS)}`, but there is no"
                f" `{shorten(part, _QUOTED_CHARACTERS)}`{_offer(value)}."
            )
    return value


def _offer(value: Json) -> str:
    """Say what there is instead."""
    if isinstance(value, dict) and value:
        names = ", ".join(f"`{shorten(name, _QUOTED_CHARACTERS)}`" for name in sorted(value)[:10])
        return f" among {names}" + (" …" if len(value) > 10 else "")
    if isinstance(value, list):
        return f" in a list of {len(value)}"
    return ""
