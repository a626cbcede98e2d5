"""Checks what tools and runs are handed against JSON Schemas; references by their declared types."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec
from jsonschema import ValidationError

from gql_app.core.declared import Declaration, describe_types
from gql_app.core.documents import Draft, quote
from gql_app.core.errors import ProblemCode
from gql_app.core.expressions import Path
from gql_app.core.json_schema import InvalidSchema, Schema, TooExpensive, check_schema, compile_schema, explain, locate
from gql_app.core.outline import find_references, is_excused, outline
from gql_app.core.plan import ToolDefinition
from gql_app.core.pointers import make_pointer
from gql_app.core.problems import Problems
from gql_app.core.references import Link, Links
from gql_app.core.spec import NodeSpec
from gql_app.core.tool_names import check_named_tools
from gql_app.core.values import Json

MAXIMUM_ERRORS: Final = 20
"""How many problems one value can have."""


def check_tool_inputs(
    draft: Draft,
    links: Links,
    tools: Mapping[str, ToolDefinition],
    problems: Problems,
    why_missing: Callable[[str], str | None],
) -> None:
    """Find nodes whose tool is not there, or cannot take what the node hands it."""
    checker = _InputChecker(draft, tools, problems, why_missing)
    for position, (node, link) in enumerate(zip(draft.checked.nodes, links, strict=True)):
        if node.tool in tools:
            if ("nodes", position, "input") not in draft.repaired:
                checker.check(node, link, f"/nodes/{position}/input")
        elif not draft.is_placeholder(position, "tool"):
            problems.add(
                ProblemCode.UNKNOWN_TOOL,
                f"There is no tool {quote(node.tool)}.",
                f"/nodes/{position}/tool",
                node_id=node.id,
                hint=why_missing(node.tool) or problems.suggest(node.tool, tools) or _list_tools(tools),
            )


def check_run_input(input_schema: Json, value: Json, problems: Problems) -> None:
    """Check the run's input against the schema that the document has for it."""
    if input_schema is None:
        return
    try:
        schema = check_schema(msgspec.json.encode(input_schema))
        for error in islice(schema.errors(value), MAXIMUM_ERRORS):
            problems.add(ProblemCode.INVALID_INPUT, explain(error), "/input" + locate(error))
    except InvalidSchema as invalid:
        problems.add(ProblemCode.INVALID_FIELD, invalid.message, "/inputSchema" + invalid.pointer)
    except TooExpensive as reason:
        hint = "Make the schema or the input simpler."
        problems.add(ProblemCode.LIMIT_EXCEEDED, str(reason), "/inputSchema", hint=hint)


class _InputChecker:
    """Checks the inputs of nodes; every tool's schema is prepared once."""

    def __init__(
        self,
        draft: Draft,
        tools: Mapping[str, ToolDefinition],
        problems: Problems,
        why_missing: Callable[[str], str | None],
    ) -> None:
        self._tools = tools
        self._problems = problems
        self._why_missing = why_missing
        self._nodes = {node.id: node for node in draft.checked.nodes}
        self._schemas: dict[str, Schema] = {}

    def check(self, node: NodeSpec, link: Link, at: str) -> None:
        schema = self._schemas.get(node.tool)
        if schema is None:
            encoded = msgspec.json.encode(self._tools[node.tool].input_schema)
            schema = self._schemas[node.tool] = compile_schema(encoded)
        check_named_tools(node.input, schema, self._tools, self._problems, self._why_missing, node_id=node.id, at=at)
        if link.template is None or not (link.template.expressions or link.template.secrets):
            value = node.input if link.template is None else link.template.evaluate({})
            if not schema.surely_fits(value):
                self._report(schema.errors(value), schema, node, at)
            return
        self._report(filter(_is_certain, schema.errors(outline(link.template.value))), schema, node, at)
        for location, path in find_references(link.template.value):
            self._check_reference(Declaration(schema.schema), location, path, node, at)

    def _report(self, errors: Iterator[ValidationError], schema: Schema, node: NodeSpec, at: str) -> None:
        try:
            for error in islice(errors, MAXIMUM_ERRORS):
                hint = None
                if error.validator == "additionalProperties" and error.validator_value is False:
                    fields = Declaration(schema.schema).fields(error.schema)
                    hint = self._suggest(error.message, fields)
                if "input" in node.model_fields_set:
                    self._refuse(explain(error), at + locate(error), node, hint)
                else:
                    message = f"There is no `input`, and `{node.tool}` needs one: {explain(error)}"
                    self._refuse(message, at.removesuffix("/input"), node, hint)
        except (TooExpensive, InvalidSchema):
            # The tool itself checks its input before every attempt.
            return

    def _check_reference(
        self, wanted: Declaration, location: tuple[str | int, ...], path: Path, node: NodeSpec, at: str
    ) -> None:
        """Refuse a reference to what cannot exist, or cannot be of a type that the tool takes there."""
        source = self._nodes.get(path[1])
        tool = None if source is None else self._tools.get(source.tool)
        if source is None or tool is None:
            return
        given = Declaration(tool.output_schema)
        pointer = at + make_pointer(location)
        for length in range(3, len(path)):
            if given.at(path[3 : length + 1]) is False:
                self._refuse_field(given, path[: length + 1], tool.name, node, pointer)
                return
        types = given.types(given.at(path[3:]))
        if source.continue_on_failure:
            types |= {"null"}
        place = wanted.at(location)
        if place is not False and not types & wanted.types(place):
            message = (
                f"`{'.'.join(path)}` is declared to be {describe_types(types) or 'nothing'},"
                f" but {describe_types(wanted.types(place)) or 'nothing'} is expected here."
            )
            self._refuse(message, pointer, node, None)

    def _refuse_field(self, given: Declaration, path: Path, tool: str, node: NodeSpec, pointer: str) -> None:
        around = given.at(path[3:-1])
        message = f"`{'.'.join(path[:-1])}` has no field {quote(path[-1])}, as the tool `{tool}` declares its output."
        self._refuse(message, pointer, node, self._suggest(path[-1], given.fields(around)))

    def _refuse(self, message: str, pointer: str, node: NodeSpec, hint: str | None) -> None:
        self._problems.add(ProblemCode.INVALID_TOOL_INPUT, message, pointer, node_id=node.id, hint=hint)

    def _suggest(self, name: str, fields: Iterable[str]) -> str | None:
        known = list(dict.fromkeys(fields))
        return self._problems.suggest(name, known) or _list_names("The fields here are", known)


def _is_certain(error: ValidationError) -> bool:
    return not is_excused(error)


def _list_tools(tools: Iterable[str]) -> str | None:
    return _list_names("The tools are", list(tools))


def _list_names(begin: str, names: list[str]) -> str | None:
    return f"{begin} {', '.join(names)}." if 0 < len(names) <= 20 else None
