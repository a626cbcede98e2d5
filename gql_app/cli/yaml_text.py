"""Reads YAML as far as it is JSON written in another way: no dates, no octal numbers, `no` is a word."""

import math
import re
from collections.abc import Hashable
from typing import Final

import yaml

from gql_app.cli.output import clean
from gql_app.cli.text_errors import TextError
from gql_app.core.documents import find_faults
from gql_app.core.values import Json

MAXIMUM_DEPTH: Final = 100
MAXIMUM_VALUES: Final = 1_000_000
"""Aliases can make a short text stand for a very big value."""


class _Loader(yaml.SafeLoader):
    """Knows the words of JSON and takes all others for strings."""

    # Not the table of the base class, which is shared.
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in the base class

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Json]:
        """Make an object. Its keys must be strings, each once."""
        own: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise TextError(line, "a key must be a string; put it in quotation marks.")
            if key.value in own:
                raise TextError(line, f"the key {key.value!r} stands twice in one object; keep one of them.")
            own.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Make a whole number."""
        try:
            return int(str(node.value))
        except ValueError:
            raise TextError(node.start_mark.line + 1, "the number is too big. Write it as a string.") from None

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """Make a finite number."""
        text = str(node.value)
        value = math.nan if text.lstrip("+-").startswith(".") and not text[-1].isdigit() else float(text)
        if not math.isfinite(value):
            message = f"{text} is not JSON: numbers must be finite. Write null, or a string."
            raise TextError(node.start_mark.line + 1, message)
        return value


for _tag, _pattern, _first in (
    ("bool", r"true|false|True|False|TRUE|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _firsts = [*_first.replace("\0", ""), ""] if "\0" in _first else [*_first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _firsts)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


def parse_yaml(text: str) -> Json:
    """Read a YAML text of one document. Raises `TextError` and `RecursionError`."""
    try:
        value = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise TextError(line, f"this is not YAML: {error.problem or error.context}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TextError(line, f"the character {error.character!r} cannot stand in YAML.") from None
    for fault in find_faults(value, MAXIMUM_DEPTH, MAXIMUM_VALUES):
        if fault.is_fatal:
            raise TextError(1, f"at {clean(fault.pointer, 80) or 'the top'}: {fault.message}")
    return value
