"""Finds what the nodes of a document need of each other, and what stands in the way."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final, TypeAlias

import msgspec

from gql_app.core.documents import Draft, quote
from gql_app.core.errors import ProblemCode
from gql_app.core.expressions import (
    Expression,
    InvalidExpression,
    Template,
    TemplateErrors,
    compile_expression,
    compile_template,
    node_references,
)
from gql_app.core.graph import find_cycles
from gql_app.core.ids import NODE_ID, RESERVED_NODE_IDS
from gql_app.core.placeholders import holds_placeholder
from gql_app.core.problems import Problems
from gql_app.core.spec import NodeSpec
from gql_app.core.templates import Hole, find_holes, split_template
from gql_app.core.values import Json

MAXIMUM_CYCLES: Final = 20
MAXIMUM_EXPRESSIONS: Final = 5_000
MAXIMUM_EXPRESSION_BYTES: Final = 256 << 10
"""Of a whole document: compiling takes up to 12 µs a byte, so that planning takes three seconds at most."""

SHOWN_NODES: Final = 10
"""How many nodes of a long cycle a message names."""

ANYTHING: Final = "${ input }"
"""Stands for an expression that cannot be compiled: its value could be anything."""

ID_HINT: Final = "An id has letters, digits and `_`, at most 64, and does not begin with a digit."
WHEN_HINT: Final = "Write one expression and nothing around it: `${ nodes.a.output.ok }`."
AMOUNT_HINT: Final = "Split it into several workflows, or compute in a tool."
CYCLE_HINT: Final = "Take one of them out: a node can only start when all it depends on has ended."


class Link(msgspec.Struct, frozen=True):
    """What one node needs of others. `places` says where in the node each dependency is mentioned first."""

    depends_on: tuple[str, ...]
    reads: tuple[str, ...]
    when: str | None
    template: Template | None
    """The input; null where it has neither expressions nor secrets."""
    places: Mapping[str, str]


Links: TypeAlias = tuple[Link, ...]


def link_nodes(draft: Draft, problems: Problems, *, plain: bool = False) -> Links:
    """Say for every node, in document order, what it needs. In a `plain` document there are no expressions."""
    if not plain:
        _check_amount(draft, problems)
    linker = _Linker(draft, problems, plain)
    links = tuple(linker.link(position, node) for position, node in enumerate(draft.checked.nodes))
    linker.check_output()
    linker.check_cycles(links)
    return links


def _check_amount(draft: Draft, problems: Problems) -> None:
    """Refuse more expressions than are worth compiling; nothing is told of them then."""
    spec = draft.checked
    count = size = 0
    for hole in chain(find_holes([[node.input, node.when] for node in spec.nodes]), find_holes(spec.output)):
        count += 1
        size += len(hole.text)
    if count > MAXIMUM_EXPRESSIONS:
        message = f"The workflow has {count} expressions; {MAXIMUM_EXPRESSIONS} are allowed."
    elif size > MAXIMUM_EXPRESSION_BYTES:
        message = f"The workflow's expressions have {size} characters; {MAXIMUM_EXPRESSION_BYTES} are allowed."
    else:
        return
    problems.add(ProblemCode.LIMIT_EXCEEDED, message, "/nodes", hint=AMOUNT_HINT)
    raise problems.error()


class _Linker:
    def __init__(self, draft: Draft, problems: Problems, plain: bool) -> None:
        self._draft = draft
        self._plain = plain
        self._problems = problems
        self._positions: dict[str, int] = {}
        for position, node in enumerate(draft.checked.nodes):
            if not draft.is_placeholder(position, "id"):
                self._check_id(position, node.id)
                self._positions.setdefault(node.id, position)

    def link(self, position: int, node: NodeSpec) -> Link:
        """Read what one node mentions."""
        at = f"/nodes/{position}"
        places: dict[str, str] = {}
        for index, name in enumerate(node.depends_on):
            if ("nodes", position, "dependsOn", index) not in self._draft.repaired:
                places.setdefault(name, f"/dependsOn/{index}")
                self._check_known(name, f"{at}/dependsOn/{index}", node.id)
        template = None if self._plain else self._compile(node.input, at, "/input", node.id)
        when = None if node.when is None else self._compile_when(node.when, at, node.id)
        used = [(f"/input{pointer}", expression) for pointer, expression in template.expressions] if template else []
        if when is not None:
            used.append(("/when", when))
        reads: dict[str, None] = {}
        for place, name, fields in _mentions(used):
            self._check_known(name, at + place, node.id)
            places.setdefault(name, place)
            if "output" in fields:
                reads[name] = None
        return Link(tuple(places), tuple(reads), None if when is None else when.text, template, places)

    def check_output(self) -> None:
        """Read what the run's output mentions."""
        output = self._draft.checked.output
        if output is not None and not self._plain:
            template = self._compile(output, "", "/output", None)
            for place, name, _ in _mentions((f"/output{pointer}", used) for pointer, used in template.expressions):
                self._check_known(name, place, None)

    def check_cycles(self, links: Links) -> None:
        """Find nodes that wait for each other."""
        graph = {name: links[position].depends_on for name, position in self._positions.items()}
        if not any(graph.values()):
            return
        for cycle in find_cycles(graph, MAXIMUM_CYCLES):
            first = cycle[0]
            position = self._positions[first]
            place = links[position].places[cycle[1 % len(cycle)]]
            message = (
                f"The node {quote(first)} depends on itself: {_show((*cycle, first))}."
                if len(cycle) == 1
                else f"The nodes depend on each other in a cycle: {_show((*cycle, first))}."
            )
            self._problems.add(ProblemCode.CYCLE, message, f"/nodes/{position}{place}", node_id=first, hint=CYCLE_HINT)

    def _check_id(self, position: int, name: str) -> None:
        at = f"/nodes/{position}/id"
        if name in self._positions:
            message = f"The id {quote(name)} is used twice; the first is node {self._positions[name]}."
            self._problems.add(
                ProblemCode.DUPLICATE_NODE, message, at, node_id=name, hint="Give every node an id of its own."
            )
        elif NODE_ID.fullmatch(name) is None:
            message = f"{quote(name)} cannot be the id of a node."
            self._problems.add(ProblemCode.INVALID_FIELD, message, at, node_id=name[:80], hint=ID_HINT)
        elif name in RESERVED_NODE_IDS:
            message = f"{quote(name)} cannot be the id of a node: the word is reserved in expressions."
            self._problems.add(ProblemCode.INVALID_FIELD, message, at, node_id=name, hint=f"Call it `{name}_`.")

    def _check_known(self, name: str, pointer: str, node_id: str | None) -> None:
        if name not in self._positions:
            self._problems.add(
                ProblemCode.UNKNOWN_NODE,
                f"There is no node {quote(name)}.",
                pointer,
                node_id=node_id,
                hint=self._problems.suggest(name, self._positions),
            )

    def _compile(self, value: Json, at: str, field: str, node_id: str | None) -> Template:
        secrets = node_id is not None
        try:
            return compile_template(value, secrets=secrets)
        except TemplateErrors as errors:
            for pointer, error in errors.problems:
                self._refuse(error, f"{at}{field}{pointer}", node_id)
            return compile_template(_without(value, "", {pointer for pointer, _ in errors.problems}), secrets=secrets)

    def _compile_when(self, text: str, at: str, node_id: str) -> Expression | None:
        pieces, error = split_template(text.strip())
        try:
            if error is not None:
                raise error
            if len(pieces) == 1 and isinstance(pieces[0], Hole):
                return compile_expression(pieces[0].text.strip())
            raise InvalidExpression(f"`when` must be one expression, not {quote(text)}.", text, hint=WHEN_HINT)
        except InvalidExpression as invalid:
            self._refuse(invalid, f"{at}/when", node_id)
            return None

    def _refuse(self, error: InvalidExpression, pointer: str, node_id: str | None) -> None:
        code = ProblemCode.INVALID_EXPRESSION
        self._problems.add(code, error.message, pointer, node_id=node_id, hint=error.hint)


def _mentions(used: Iterable[tuple[str, Expression]]) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Give every node that is mentioned: (pointer, id, its fields that are)."""
    for place, expression in used:
        for name, fields in node_references(expression.paths).items():
            yield place, name, fields


def _without(value: Json, pointer: str, wrong: set[str]) -> Json:
    """Copy a value with something that can be compiled in all the wrong places, and without fields of wrong names."""
    if pointer in wrong:
        return ANYTHING
    if isinstance(value, dict):
        return {
            key: _without(item, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", wrong)
            for key, item in value.items()
            if not holds_placeholder(key)
        }
    if isinstance(value, list):
        return [_without(item, f"{pointer}/{index}", wrong) for index, item in enumerate(value)]
    return value


def _show(path: tuple[str, ...]) -> str:
    if len(path) > SHOWN_NODES:
        path = (*path[: SHOWN_NODES - 2], f"… ({len(path) - SHOWN_NODES + 1} more)", path[-1])
    return " → ".join(path)
