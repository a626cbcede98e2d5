"""The binding to the CEL library: compiles an expression, evaluates it, and makes its result JSON."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

# The wheel has type stubs but no py.typed marker.
from cel_expr_python import cel  # type: ignore[import-untyped]

from gql_app.core.cel_syntax import ROOTS, Mention, Syntax, find_position, read_syntax
from gql_app.core.cel_values import NotJson, check_data, to_json
from gql_app.core.errors import ExpressionError
from gql_app.core.placeholders import SECRETS_HINT
from gql_app.core.values import Json

MAXIMUM_BYTES: Final = 2048
MAXIMUM_COMPREHENSIONS: Final = 2
CEL_FORMAT: Final = "cel"
"""The `format` of a tool's parameter that is an expression itself."""

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
MAXIMUM_PROBLEMS: Final = 3
"""How much of what CEL says about one expression is told; the first problem often causes the others."""

_NODE_FIELDS: Final = ("output", "status", "error")
_ERROR: Final = cel.Type.ERROR
_STATUS: Final = re.compile(r"\A[A-Z_]+: (?!<)| \[[A-Z_]+\]\Z")
_PLACE: Final = re.compile(r"^(\d+):(\d+): ")
_MIXED_NUMBERS: Final = re.compile(r"\((u?int(64)?, double|double, u?int(64)?)\)")
_NO_OVERLOAD: Final = "found no matching overload"
_NAMES_SECRETS: Final = re.compile(r"'secrets\b")


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
    """One compiled CEL expression; `variables` names what it may mention."""

    def __init__(self, text: str, variables: frozenset[str] = ROOTS) -> None:
        _check_size(text)
        self.text = text
        self.variables = variables
        self._compiled = _compile(text, _environment(variables))
        serialized = self._compiled.serialize()
        self.syntax = read_syntax(serialized)
        _Checker(text, serialized).check(self.syntax)

    def evaluate(self, variables: Mapping[str, Json]) -> Json:
        """Evaluate with these variables; the result is JSON that shares nothing with them."""
        try:
            for variable in variables.values():
                check_data(variable)
            result = self._compiled.eval(data=variables)
            value = result.plain_value()
            failed = result.type() == _ERROR
        except NotJson as error:
            raise EvaluationFailed(self.text, str(error)) from None
        except RuntimeError as error:
            raise EvaluationFailed(self.text, _explain(str(error))) from None
        if failed:
            raise EvaluationFailed(self.text, _explain(str(value)))
        return self.to_json(value)

    def to_json(self, value: Json) -> Json:
        """Copy a result as JSON, or fail."""
        try:
            return to_json(value)
        except NotJson as error:
            raise EvaluationFailed(self.text, str(error)) from None


def shorten(text: str) -> str:
    """Cut a text to what a message can quote."""
    return text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…"


def _check_size(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidExpression("The expression holds half of a surrogate pair: that is no character.", text) from None
    if size > MAXIMUM_BYTES:
        message = f"The expression `{shorten(text)}` is {size} bytes long; {MAXIMUM_BYTES} are allowed."
        raise InvalidExpression(message, text, hint="Split it over several nodes, or give the tool the data.")
    if not text.strip():
        raise InvalidExpression("The expression is empty.", text, hint="Write `$${` for a literal `${`.")


@cache
def _environment(variables: frozenset[str]) -> cel.Env:
    return cel.NewEnv(variables=dict.fromkeys(sorted(variables), cel.Type.DYN))


def _compile(text: str, environment: cel.Env) -> cel.Expression:
    try:
        return environment.compile(text)
    except RuntimeError as error:
        message = str(error)
    if _only_overloads(message):
        # The checker takes `x[0]` for an int once it is added to something, and then refuses `x[0] + y + 'text'`.
        unchecked = environment.compile(text, disable_check=True)
        if read_syntax(unchecked.serialize()).indexes:
            return unchecked
    raise _refusal(message, text)


def _only_overloads(message: str) -> bool:
    return message.count("ERROR: ") == message.count(_NO_OVERLOAD) > 0


def _refusal(message: str, text: str) -> InvalidExpression:
    """Say in our words what CEL said, each problem once and with its caret line."""
    message = _STATUS.sub("", message).replace(" (in container '')", "")
    found = dict.fromkeys(part.rstrip() for part in re.split(r"^ERROR: <input>:", message, flags=re.MULTILINE))
    problems = [_PLACE.sub(r"line \1, column \2: ", part).removeprefix("-1:-1: ") for part in found if part]
    hint = _hint(problems[0].partition("\n")[0])
    told = problems[:MAXIMUM_PROBLEMS]
    if more := len(problems) - len(told):
        told.append(f"(and {more} more)")
    return InvalidExpression("\n".join(told), text, hint=hint)


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
        return SECRETS_HINT if _NAMES_SECRETS.search(reason) else SCOPE_HINT
    if "recursion" in reason:
        return DEPTH_HINT
    if "overload" not in reason:
        return None
    if _MIXED_NUMBERS.search(reason):
        return NUMBERS_HINT
    return TEXT_HINT if "_+_" in reason and "string" in reason else None


def _explain(reason: str) -> str:
    """Turn CEL's `NOT_FOUND: Key not found in map : "a"` into a sentence for people."""
    reason = shorten(_STATUS.sub("", reason))
    if reason.startswith("basic_string"):
        return "a text in the data holds half of a surrogate pair: that is no character."
    if missing := re.fullmatch(r"Key not found in map : (.*)", reason, re.DOTALL):
        return f"there is no key {missing[1]}. Use `has()` to ask first."
    if reason == "Applying SELECT to non-message type":
        return "a name is selected from something that is not a map."
    return " ".join(filter(None, (f"{reason.rstrip('.')}.", _hint(reason))))
