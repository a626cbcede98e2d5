"""The shape of a document: whether it is JSON, and what pydantic says of it, as problems with pointers."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from json.encoder import encode_basestring
from typing import Final, TypeAlias

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gql_app.core.errors import Problem, ProblemCode
from gql_app.core.graph import nearest_name
from gql_app.core.pointers import make_pointer
from gql_app.core.spec import NodeSpec, RetryPolicy, TimeoutPolicy, WorkflowSpec
from gql_app.core.values import Json

MAXIMUM_REPAIRS: Final = 1_000
"""With more errors of shape than this, nothing else is looked at."""
MAXIMUM_PROBLEMS: Final = 100
"""More problems than this are counted only."""

QUOTED_CHARACTERS: Final = 80
SMALLEST_INTEGER, BIGGEST_INTEGER = -(2**63), 2**64 - 1

_Location: TypeAlias = tuple[int | str, ...]
_Link: TypeAlias = "tuple[_Link, int | str] | None"

_MODELS: Final[Mapping[_Location, type[BaseModel]]] = {
    (): WorkflowSpec,
    ("nodes",): NodeSpec,
    ("nodes", "retry"): RetryPolicy,
    ("nodes", "timeout"): TimeoutPolicy,
}
_PLACEHOLDER: Final = {"id": "", "tool": ""}
_REQUIRED: Final[Mapping[tuple[int, int | str], Json]] = {
    (1, "name"): "?",
    (1, "nodes"): [_PLACEHOLDER],
    (3, "id"): "",
    (3, "tool"): "",
}
"""What must stand somewhere, by the length of its location and its name."""
_EXPECTED: Final = {
    "string_type": "a string",
    "string_unicode": "valid Unicode",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "finite_number": "a finite number",
    "enum": "{expected}",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "string_too_short": "at least {min_length} character long",
    "string_too_long": "at most {max_length} characters long",
    "too_short": "a list of at least {min_length} item",
    "too_long": "an object of at most {max_length} fields",
}


class Fault(msgspec.Struct, frozen=True):
    """Something that is not JSON, or too much of it. After a fatal one nothing should be done with the value."""

    pointer: str
    message: str
    is_fatal: bool = False
    is_limit: bool = False


class Draft(msgspec.Struct, frozen=True):
    """What can be read of a document: where it was wrong, placeholders stand, named in `repaired`."""

    spec: WorkflowSpec | None
    problems: tuple[Problem, ...] = ()
    repaired: frozenset[tuple[int | str, ...]] = frozenset()
    unshown: int = 0
    """How many problems more there are."""

    @property
    def checked(self) -> WorkflowSpec:
        """The spec, where it is known that there is one."""
        if self.spec is None:
            raise ValueError("Nothing could be read of the document.")
        return self.spec

    def is_placeholder(self, position: int, field: str) -> bool:
        """Tell whether a required field of a node stands for something that could not be read."""
        places: tuple[_Location, ...] = (("nodes",), ("nodes", position), ("nodes", position, field))
        return bool(self.repaired) and any(place in self.repaired for place in places)


def read_draft(document: Json, known: Collection[str] = ()) -> Draft:
    """Read a JSON value as a workflow; pointers in `known` have a problem already and get no second one."""
    try:
        return Draft(WorkflowSpec.model_validate(document, by_alias=True, by_name=False))
    except ValidationError as error:
        details = error.errors(include_url=False)
    located = [(_locate(detail), detail) for detail in details if not _is_echo(detail)]
    shown = located[:MAXIMUM_PROBLEMS]
    problems, unshown = tuple(_describe_all(shown, document, known)), len(located) - len(shown)
    if len(located) > MAXIMUM_REPAIRS or not isinstance(document, dict):
        return Draft(None, problems, unshown=unshown)
    locations = [location for location, _ in located]
    try:
        spec = WorkflowSpec.model_validate(_repair(document, locations), by_alias=True, by_name=False)
    except ValidationError:
        return Draft(None, problems, unshown=unshown)
    return Draft(spec, problems, frozenset(locations), unshown)


def find_faults(value: Json, maximum_depth: int, maximum_values: int) -> Iterator[Fault]:
    """Find what is not JSON, without recursion; ends after a fatal fault."""
    if complaint := _complaint(value):
        yield Fault("", *complaint)
        return
    waiting: list[tuple[Json, _Link, int]] = [(value, None, 1)] if isinstance(value, dict | list) else []
    count = 0
    while waiting:
        container, link, depth = waiting.pop()
        if (count := count + len(container)) > maximum_values:
            yield Fault("", f"There are more than {maximum_values} values.", is_fatal=True, is_limit=True)
            return
        is_object = isinstance(container, dict)
        items: Iterable[tuple[int | str, Json]] = container.items() if is_object else enumerate(container)
        for key, item in items:
            if is_object and not (type(key) is str and (key.isascii() or _is_unicode(key))):
                yield Fault(_unlink(link), f"The key {quote(key)} is not a string of valid Unicode.", is_fatal=True)
                return
            kind = type(item)
            if kind is str and item.isascii():
                continue
            if kind is dict or kind is list:
                if depth >= maximum_depth:
                    message = f"Lists and objects are nested deeper than {maximum_depth} levels."
                    yield Fault(_unlink((link, key)), message, is_fatal=True, is_limit=True)
                    return
                waiting.append((item, (link, key), depth + 1))
            elif kind is not bool and (complaint := _complaint(item)):
                yield Fault(_unlink((link, key)), *complaint)
                if complaint[1]:
                    return


def quote(value: Json) -> str:
    """Show a value in a message: as JSON if that is short, else what it is."""
    if isinstance(value, str):
        text = encode_basestring(value[:QUOTED_CHARACTERS].encode(errors="replace").decode())
        return text if len(value) <= QUOTED_CHARACTERS else f'{text[:-1]}…" ({len(value)} characters)'
    if isinstance(value, dict):
        return f"an object with {_count(value, 'field')}" if value else "{}"
    if isinstance(value, list):
        return f"a list of {_count(value, 'item')}" if value else "[]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, int) and not SMALLEST_INTEGER <= value <= BIGGEST_INTEGER:
        return f"an integer of {value.bit_length()} bits"
    return repr(value) if isinstance(value, int | float) else f"a Python {type(value).__name__}"


def _count(values: Sized, noun: str) -> str:
    return f"{len(values)} {noun}{'s' * (len(values) != 1)}"


def _complaint(item: Json) -> tuple[str, bool] | None:
    """Say what is wrong with one value, not looking inside, and whether it is fatal."""
    if isinstance(item, str):
        return None if _is_unicode(item) else ("Half of a surrogate pair is not valid Unicode.", False)
    if isinstance(item, float):
        return None if math.isfinite(item) else (f"{item} is not JSON: numbers must be finite.", False)
    if isinstance(item, int):
        fits = SMALLEST_INTEGER <= item <= BIGGEST_INTEGER
        return None if fits else (f"{quote(item).capitalize()} does not fit in 64. Send it as a string.", False)
    if item is None or type(item) is dict or type(item) is list:
        return None
    return f"{quote(item)[0].upper()}{quote(item)[1:]} is not JSON.", True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unlink(link: _Link) -> str:
    parts: list[int | str] = []
    while link is not None:
        link, part = link
        parts.append(part)
    return make_pointer(reversed(parts))


def _describe_all(
    located: Iterable[tuple[_Location, ErrorDetails]], document: Json, known: Collection[str]
) -> Iterator[Problem]:
    """Describe errors, one for each place; fields that are missing there count each."""
    described: set[_Location] = set()
    for location, detail in located:
        pointer = make_pointer(location[:-1] if detail["type"] == "missing" else location)
        if location not in described and pointer not in known:
            yield _describe(location, detail, pointer, document)
        described.add(location)


def _is_echo(detail: ErrorDetails) -> bool:
    """Tell the complaint that there are no nodes when there are none without errors."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _locate(detail: ErrorDetails) -> _Location:
    """Give the place in the document, without what pydantic adds for branches of a union and for keys."""
    location = detail["loc"]
    if location[:1] == ("inputSchema",):
        return location[:1]
    return location[:-1] if location[:1] == ("labels",) and location[-1] == "[key]" and len(location) == 3 else location


def _describe(location: _Location, detail: ErrorDetails, pointer: str, document: Json) -> Problem:
    kind, name = detail["type"], str(location[-1]) if location else ""
    node_id = node_id_at(document, location)
    code, hint = ProblemCode.INVALID_FIELD, None
    if kind == "missing":
        message = f"The field `{name}` is missing."
    elif kind == "extra_forbidden":
        model = _MODELS.get(tuple(part for part in location[:-1] if isinstance(part, str)), WorkflowSpec)
        message, hint = f"There is no field {quote(name)}.", _hint_field(name, model)
    elif location == ("inputSchema",):
        message = f"`inputSchema` must be a JSON Schema, not {quote(detail['input'])}."
    else:
        if kind in {"too_long", "string_too_long"}:
            code = ProblemCode.LIMIT_EXCEEDED
        expected = _EXPECTED.get(kind, "").format_map(detail.get("ctx", {})) or f"something else ({detail['msg']})"
        message = f"{_subject(location)} must be {expected}, not {quote(detail['input'])}."
    return Problem(code=code, message=message, pointer=pointer, node_id=node_id, hint=hint)


def _subject(location: _Location) -> str:
    if not location:
        return "The workflow"
    if isinstance(location[-1], int):
        return "A node" if location[0] == "nodes" and len(location) == 2 else f"An item of `{location[-2]}`"
    return f"`{quote(location[-1])[1:-1]}`"


def _hint_field(name: str, model: type[BaseModel]) -> str:
    fields = [field.alias or python_name for python_name, field in model.model_fields.items()]
    nearest = nearest_name(name, fields)
    return f"Did you mean `{nearest}`?" if nearest else f"The fields here are {', '.join(fields)}."


def node_id_at(document: Json, location: _Location) -> str | None:
    """Give the id of the node that a place is in, if it has one."""
    match document, location:
        case {"nodes": [*nodes]}, ("nodes", int(index), *_):
            node = nodes[index]
            name = node.get("id") if isinstance(node, dict) else None
            return name[:QUOTED_CHARACTERS] if isinstance(name, str) else None
        case _:
            return None


def _repair(document: dict[str, Json], locations: Iterable[_Location]) -> Json:
    """Copy a document so that what is wrong is left out, or replaced where something must stand."""
    copies: dict[_Location, Json] = {(): document.copy()}
    for location in locations:
        parent = copies[()]
        for place in (location[:depth] for depth in range(1, len(location))):
            if place not in copies:
                inner = _inside(parent, place[-1])
                if not isinstance(inner, dict | list):
                    break
                copies[place] = parent[place[-1]] = inner.copy()
            parent = copies[place]
        else:
            _replace(parent, location)
    return copies[()]


def _inside(parent: Json, key: int | str) -> Json:
    """Give an item, or None where something around it was left out."""
    return parent.get(key) if isinstance(parent, dict) else parent[key]


def _replace(parent: Json, location: _Location) -> None:
    key = location[-1]
    if isinstance(key, int):
        parent[key] = _PLACEHOLDER if len(location) == 2 else ""
    elif (len(location), key) in _REQUIRED:
        parent[key] = _REQUIRED[len(location), key]
    else:
        parent.pop(key, None)
