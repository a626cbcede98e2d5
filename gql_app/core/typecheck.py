"""Checks inputs against JSON Schemas: literals as they are, expressions by their declared types."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec
from jsonschema import ValidationError

from gql_app.core.documents import Draft, make_pointer, quote
from gql_app.core.errors import ProblemCode
from gql_app.core.json_schema import InvalidSchema, Schema, TooExpensive, check_schema, compile_schema, explain
from gql_app.core.plan import ToolDefinition
from gql_app.core.problems import Problems
from gql_app.core.references import Links
from gql_app.core.spec import NodeSpec
from gql_app.core.templates import OPENING, Hole, split_template
from gql_app.core.values import Json

MAXIMUM_ERRORS: Final = 20
"""How many problems one value can have."""


class Unknown:
    """Stands for the value of an expression: anything."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "${ … }"


class Interpolated(str):
    """Stands for a text with an expression in it: any text."""

    __slots__ = ()


UNKNOWN: Final = Unknown()
_DEPENDENT: Final = frozenset(
    {
        "not",
        "contains",
        "minContains",
        "maxContains",
        "enum",
        "const",
        "uniqueItems",
        "unevaluatedProperties",
        "unevaluatedItems",
    }
)
"""Keywords that look at values inside the value: their verdict may change once an expression in it has one."""


def check_tool_inputs(draft: Draft, links: Links, tools: Mapping[str, ToolDefinition], problems: Problems) -> None:
    """Find nodes whose tool is not there, or cannot take what the node hands it."""
    schemas = {
        name: compile_schema(msgspec.json.encode(tools[name].input_schema))
        for name in {node.tool for node in draft.checked.nodes} & tools.keys()
    }
    for position, node in enumerate(draft.checked.nodes):
        schema = schemas.get(node.tool)
        if schema is None:
            if (
                ("nodes", position, "tool") not in draft.repaired
                and ("nodes", position) not in draft.repaired
                and ("nodes",) not in draft.repaired
            ):
                problems.add(
                    ProblemCode.UNKNOWN_TOOL,
                    f"There is no tool {quote(node.tool)}.",
                    f"/nodes/{position}/tool",
                    node_id=node.id,
                    hint=problems.suggest(node.tool, tools),
                )
            continue
        if ("nodes", position, "input") not in draft.repaired:
            _check_node(schema, node, f"/nodes/{position}/input", problems)


def check_run_input(input_schema: Json, value: Json, problems: Problems) -> None:
    """Check the run's input against the schema that the document has for it."""
    if input_schema is None:
        return
    try:
        schema = check_schema(msgspec.json.encode(input_schema))
        for error in islice(schema.errors(value), MAXIMUM_ERRORS):
            problems.add(ProblemCode.INVALID_INPUT, explain(error), "/input" + make_pointer(error.absolute_path))
    except InvalidSchema as invalid:
        problems.add(ProblemCode.INVALID_FIELD, invalid.message, "/inputSchema" + invalid.pointer)
    except TooExpensive:
        message = "Checking the input against the schema takes too long."
        problems.add(ProblemCode.LIMIT_EXCEEDED, message, "/inputSchema", hint="Make the schema simpler.")


def _check_node(schema: Schema, node: NodeSpec, at: str, problems: Problems) -> None:
    outlined = outline(node.input)
    try:
        for error in islice(_certain_errors(schema, outlined), MAXIMUM_ERRORS):
            problems.add(
                ProblemCode.INVALID_TOOL_INPUT,
                explain(error),
                at + make_pointer(error.absolute_path),
                node_id=node.id,
                hint=f"Ask `tools` for the input of `{node.tool}`.",
            )
    except (TooExpensive, InvalidSchema):
        # The tool checks its input itself before every attempt.
        return


def _certain_errors(schema: Schema, outlined: Json) -> Iterator[ValidationError]:
    return (error for error in schema.errors(outlined) if not _is_excused(error))


def outline(value: Json) -> Json:
    """Copy a template with what is known of its expressions' values."""
    if isinstance(value, str):
        if OPENING not in value:
            return value
        pieces, _ = split_template(value)
        if not any(isinstance(piece, Hole) for piece in pieces):
            return "".join(piece for piece in pieces if isinstance(piece, str))
        return UNKNOWN if len(pieces) == 1 else Interpolated(value)
    if isinstance(value, dict):
        return {name: outline(item) for name, item in value.items()}
    if isinstance(value, list):
        return [outline(item) for item in value]
    return value


def _is_excused(error: ValidationError) -> bool:
    """Tell whether an error could go away once the expressions have values."""
    if error.validator is None:
        return False
    if isinstance(error.instance, Unknown):
        return True
    if isinstance(error.instance, Interpolated):
        return error.validator not in {"type", "anyOf", "oneOf"} or _has_way_out(error)
    if error.validator in {"anyOf", "oneOf"}:
        return _holds_expression(error.instance) if not error.context else _has_way_out(error)
    inside_if = "if" in error.absolute_schema_path
    return (error.validator in _DEPENDENT or inside_if) and _holds_expression(error.instance)


def _has_way_out(error: ValidationError) -> bool:
    """Tell whether one of the alternatives fails for excused errors only."""
    branches: dict[object, bool] = {}
    for inner in error.context:
        branch = inner.schema_path[0]
        branches[branch] = branches.get(branch, True) and _is_excused(inner)
    return any(branches.values())


def _holds_expression(value: Json) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_expression, value.values()))
    if isinstance(value, list):
        return any(map(_holds_expression, value))
    return isinstance(value, Unknown | Interpolated)
