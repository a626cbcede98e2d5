"""The binding to the CEL library: compiles an expression, evaluates it, and makes its result JSON."""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

# The wheel has type stubs but no py.typed marker.
from cel_expr_python import cel  # type: ignore[import-untyped]

from gql_app.core.cel_syntax import ROOTS, Mention, Syntax, find_position, read_syntax
from gql_app.core.errors import ExpressionError
from gql_app.core.values import Json

MAXIMUM_BYTES: Final = 2048
MAXIMUM_COMPREHENSIONS: Final = 2
MAXIMUM_DEPTH: Final = 100
"""How deeply lists and maps may be nested in a template or a result."""

SCOPE_HINT: Final = (
    "In scope are `input`, `run.id`, `nodes.<id>.output`, `.status` and `.error`, and CEL's standard functions."
)
TEXT_HINT: Final = "Only texts can be added to a text: write `string(x)`, or put `${ x }` into the text."
NUMBERS_HINT: Final = "CEL does not mix integers and decimals: write `double(x)`, or `2.0` for `2`."
DEPTH_HINT: Final = (
    "Every operator in a row nests one level deeper: group with brackets, or put several `${ }` in one text."
)
COMPREHENSIONS_HINT: Final = "`map`, `filter`, `all`, `exists` and `exists_one` are some. Split it over several nodes."
QUOTED_CHARACTERS: Final = 200

_NODE_FIELDS: Final = ("output", "status", "error")
_SMALLEST, _BIGGEST = -(2**63), 2**64 - 1
_ENVIRONMENT: Final = cel.NewEnv(variables=dict.fromkeys(sorted(ROOTS), cel.Type.DYN))
_ERROR: Final = cel.Type.ERROR
_NO_OVERLOAD: Final = "found no matching overload"


class InvalidExpression(ValueError):
    """An expression cannot work. `offset` is where its `${` stands in the string, `hint` the way out."""

    def __init__(self, message: str, text: str, offset: int = 0, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.offset = offset
        self.hint = hint


class EvaluationFailed(ExpressionError):
    """An expression has no result that is JSON; the message quotes it."""

    def __init__(self, expression: str, reason: str) -> None:
        super().__init__(f"Expression `{shorten(expression)}` failed: {reason}")
        self.expression = expression
        self.reason = reason


class Program:
    """One compiled CEL expression."""

    def __init__(self, text: str) -> None:
        _check_size(text)
        self.text = text
        self._compiled = _compile(text)
        serialized = self._compiled.serialize()
        self.syntax = read_syntax(serialized)
        _Checker(text, serialized).check(self.syntax)

    def evaluate(self, variables: Mapping[str, Json]) -> Json:
        """Evaluate with these variables; the result is JSON that shares nothing with them."""
        try:
            result = self._compiled.eval(data=variables)
            value = result.plain_value()
            failed = result.type() == _ERROR
        except RuntimeError as error:
            raise EvaluationFailed(self.text, f"CEL cannot take the data: {error}") from error
        if failed:
            raise EvaluationFailed(self.text, _explain(str(value)))
        return self.to_json(value)

    def to_json(self, value: Json) -> Json:
        """Copy a result as JSON: timestamps and durations become ISO 8601 strings, what has no JSON form is refused."""
        try:
            return _to_json(value, MAXIMUM_DEPTH)
        except _NotJson as error:
            raise EvaluationFailed(self.text, str(error)) from None


def shorten(text: str) -> str:
    """Cut a text to what a message can quote."""
    return text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"


def _check_size(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidExpression(
            "The expression holds half of a surrogate pair, which is not a character.", text
        ) from None
    if size > MAXIMUM_BYTES:
        message = f"The expression `{shorten(text)}` is {size} bytes long; {MAXIMUM_BYTES} are allowed."
        raise InvalidExpression(message, text, hint="Split it over several nodes, or give the tool the data.")
    if not text.strip():
        raise InvalidExpression("The expression is empty.", text, hint="Write `$${` for a literal `${`.")


def _compile(text: str) -> cel.Expression:
    try:
        return _ENVIRONMENT.compile(text)
    except RuntimeError as error:
        message = str(error)
    if _only_overloads(message):
        # The checker takes `x[0]` for an int once it is added to something, and then refuses `x[0] + y + 'text'`.
        unchecked = _ENVIRONMENT.compile(text, disable_check=True)
        if read_syntax(unchecked.serialize()).indexes:
            return unchecked
    raise _refusal(message, text)


def _only_overloads(message: str) -> bool:
    return message.count("ERROR: ") == message.count(_NO_OVERLOAD) > 0


def _refusal(message: str, text: str) -> InvalidExpression:
    """Say in our words what CEL said, keeping its caret line."""
    message = message.removeprefix("INVALID_ARGUMENT: ").removeprefix("CANCELLED: ")
    message = re.sub(r" \[[A-Z_]+\]$", "", message).replace(" (in container '')", "")
    message = re.sub(r"ERROR: <input>:-1:-1: ", "", message)
    message = re.sub(r"ERROR: <input>:(\d+):(\d+): ", r"line \1, column \2: ", message)
    # The depth limit is told once per level.
    lines = dict.fromkeys(message.splitlines()) if "recursion" in message else message.splitlines()
    return InvalidExpression("\n".join(lines), text, hint=_hint(message))


class _Checker:
    """Refuses what CEL allows and the product does not; its errors look like CEL's, with a caret line."""

    def __init__(self, text: str, serialized: bytes) -> None:
        self._text = text
        self._serialized = serialized

    def check(self, syntax: Syntax) -> None:
        if syntax.comprehensions > MAXIMUM_COMPREHENSIONS:
            message = (
                f"The expression has {syntax.comprehensions} comprehensions; {MAXIMUM_COMPREHENSIONS} are allowed."
            )
            raise InvalidExpression(message, self._text, hint=COMPREHENSIONS_HINT)
        for shadow in syntax.shadows:
            name = shadow.path[0]
            raise self._misuse(shadow, f"the variable `{name}` would hide `{name}` itself", "Give it another name.")
        for mention in syntax.mentions:
            self._check_mention(mention)

    def _check_mention(self, mention: Mention) -> None:
        match mention.path:
            case ("nodes",):
                raise self._misuse(mention, "`nodes` can only be used as `nodes.<id>`, with a constant id", SCOPE_HINT)
            case ("nodes", node):
                raise self._misuse(mention, f"`nodes.{node}` is not a value", _fields_hint(node))
            case ("nodes", node, field, *_) if field not in _NODE_FIELDS:
                raise self._misuse(mention, f"a node has no `{field}`", _fields_hint(node))
            case ("run", *names) if names[:1] != ["id"]:
                raise self._misuse(mention, "`run` can only be used as `run.id`", SCOPE_HINT)

    def _misuse(self, mention: Mention, message: str, hint: str) -> InvalidExpression:
        before = self._text[: find_position(self._serialized, mention.id)]
        row, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        line = self._text.split("\n")[row]
        caret = f"line {row + 1}, column {column + 1}: {message}\n | {line}\n | {'.' * column}^"
        return InvalidExpression(caret, self._text, hint=hint)


def _fields_hint(node: str) -> str:
    return "Write one of " + ", ".join(f"`nodes.{node}.{field}`" for field in _NODE_FIELDS) + "."


def _hint(reason: str) -> str | None:
    """Tell the way out of what CEL complains about, if we know it."""
    if "undeclared reference" in reason:
        return SCOPE_HINT
    if "recursion" in reason:
        return DEPTH_HINT
    if "overload" not in reason:
        return None
    if "double" in reason and "int" in reason:
        return NUMBERS_HINT
    return TEXT_HINT if "_+_" in reason and "string" in reason else None


def _explain(reason: str) -> str:
    """Turn CEL's `NOT_FOUND: Key not found in map : "a"` into a sentence for people."""
    reason = re.sub(r"^[A-Z_]+: ", "", reason)
    if missing := re.fullmatch(r"Key not found in map : (.*)", reason, re.DOTALL):
        return f"there is no key {missing[1]}. Use `has()` to ask first."
    if reason == "Applying SELECT to non-message type":
        return "a name is selected from something that is not a map."
    return " ".join(filter(None, (f"{reason.rstrip('.')}.", _hint(reason))))


class _NotJson(Exception):
    """A value has no JSON form; the message says which and why."""


def _to_json(value: Json, depth: int) -> Json:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if _SMALLEST <= value <= _BIGGEST:
            return value
        raise _NotJson(f"the integer {shorten(hex(value))} does not fit 64 bits.")
    if kind is float:
        if math.isfinite(value):
            return value
        raise _NotJson(f"the result holds {value}, which is not JSON.")
    if depth == 0:
        raise _NotJson(f"the result is nested deeper than {MAXIMUM_DEPTH} levels.")
    if kind is list:
        return [_to_json(item, depth - 1) for item in value]
    if kind is dict:
        return {_key(name): _to_json(item, depth - 1) for name, item in value.items()}
    return _convert(value)


def _key(name: Json) -> str:
    if isinstance(name, str):
        return name
    raise _NotJson(f"the result holds a map with the key {name!r}; JSON's keys are strings.")


def _convert(value: Json) -> str:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return _iso_duration(value)
        case str():
            return str(value)
        case bytes() | bytearray():
            raise _NotJson("the result holds bytes, which are not JSON. Write `string(x)` if they are text.")
        case cel.Type():
            raise _NotJson(f"the result holds the type {value.name()}, which is not JSON.")
        case _:
            raise _NotJson(f"the result holds a {type(value).__name__}, which is not JSON.")


def _iso_duration(duration: timedelta) -> str:
    """Write a duration in seconds, as ISO 8601 has it: `PT1.5S`."""
    microseconds = duration // timedelta(microseconds=1)
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    decimals = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{'-' if microseconds < 0 else ''}PT{seconds}{decimals}S"
