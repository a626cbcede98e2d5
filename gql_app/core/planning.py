"""Makes a plan of a document, or finds everything that is wrong with it."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Final

import msgspec
import orjson

from gql_app.core.documents import Draft, find_faults, read_draft
from gql_app.core.errors import ProblemCode
from gql_app.core.grants import check_no_secrets, check_secrets
from gql_app.core.graph import layers_of
from gql_app.core.ids import NodeKey
from gql_app.core.named_limits import check_limits
from gql_app.core.plan import NodePlan, Plan, ToolDefinition
from gql_app.core.policies import Policies
from gql_app.core.problems import Problems
from gql_app.core.references import Links, link_nodes
from gql_app.core.typecheck import check_run_input, check_tool_inputs
from gql_app.core.values import Json

MAXIMUM_VALUES: Final = 1_000_000
"""How many values a document or an input may hold: more is an attack, or belongs beside the document."""

INPUT_HINT: Final = "Give the tools a place to read the data from instead of the data."


class Absent(Enum):
    """The type of `ABSENT`, which stands for an argument that was not given where null is a value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How big a workflow may be."""

    maximum_nodes: int = 1_000
    maximum_depth: int = 64
    """Of the lists and objects of the document, and of the run's input."""
    maximum_run_bytes: int = 64 << 20
    """Of the document and the run's input, as compact JSON."""
    names: frozenset[str] = frozenset()
    """Of the limits that nodes may name."""


def _nothing(tool: str) -> None:
    """Say nothing of a tool that is not there."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A document that can work, and what follows from it."""

    plan: Plan
    document: bytes
    """As it was sent, as compact JSON."""
    input: Json
    """The run's input: what was handed over with the document, else the document's own."""
    labels: dict[str, str]
    fingerprint: str
    """The SHA-256 of the canonical JSON of document and input: equal for what asks for the same."""


def make_plan(
    document: Json,
    *,
    input: Json | Absent = ABSENT,
    tools: Mapping[str, ToolDefinition],
    why_missing: Callable[[str], str | None] = _nothing,
    limits: Limits,
    secrets: Collection[str] = (),
    stop_grace_seconds: float = 10.0,
) -> Planned:
    """Make the plan of a document that may use these `tools` and `secrets`.

    Raises `InvalidWorkflowError` with every problem, in document order.
    """
    problems = _check_values(document, input, limits)
    encoded = b"" if problems else orjson.dumps(document)
    draft = read_draft(document, problems.pointers)
    problems.extend(draft.problems, unshown=draft.unshown)
    if draft.spec is None:
        raise problems.error()
    policies = Policies(draft.spec, tools)
    policies.check(problems)
    check_limits(draft, limits.names, problems)
    plain = b"${" not in encoded and encoded != b""
    links = link_nodes(draft, problems, plain=plain)
    if not plain:
        check_secrets(draft, links, tools, secrets, problems)
        check_no_secrets(draft.spec.input, "/input", problems)
    effective = draft.spec.input if input is ABSENT else input
    check_tool_inputs(draft, links, tools, problems, why_missing)
    check_run_input(draft.spec.input_schema, effective, problems)
    if problems:
        raise problems.error()
    return Planned(
        plan=_build(draft, links, policies, stop_grace_seconds),
        document=encoded,
        input=effective,
        labels=draft.spec.labels,
        fingerprint=_fingerprint(document, effective, limits),
    )


def layers(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """Say which nodes could run side by side: each layer needs only those before it."""
    return layers_of({node.key.id: node.depends_on for node in plan.nodes})


def _check_size(document: Json, limits: Limits, problems: Problems) -> None:
    """Refuse too many nodes before anything is done with them."""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if isinstance(nodes, list) and len(nodes) > limits.maximum_nodes:
        message = f"The workflow has {len(nodes)} nodes; {limits.maximum_nodes} are allowed."
        problems.add(ProblemCode.LIMIT_EXCEEDED, message, "/nodes", hint="Split it into several workflows.")
        raise problems.error()


def _check_values(document: Json, input: Json | Absent, limits: Limits) -> Problems:
    """Find what is not JSON; stop where nothing more can be read, or there is too much."""
    problems = Problems(document)
    _check_size(document, limits, problems)
    for value, prefix in ((document, ""), (input, "/input")):
        if value is ABSENT:
            continue
        for fault in find_faults(value, limits.maximum_depth, MAXIMUM_VALUES):
            code = ProblemCode.INVALID_FIELD if value is document else ProblemCode.INVALID_INPUT
            code = ProblemCode.LIMIT_EXCEEDED if fault.is_limit else code
            problems.add(code, fault.message, prefix + fault.pointer)
            if fault.is_fatal:
                raise problems.error()
    return problems


def _fingerprint(document: Json, effective: Json, limits: Limits) -> str:
    canonical = orjson.dumps([document, effective], option=orjson.OPT_SORT_KEYS)
    if len(canonical) > limits.maximum_run_bytes:
        problems = Problems(document)
        message = f"Document and input are {len(canonical)} bytes long; {limits.maximum_run_bytes} are allowed."
        problems.add(ProblemCode.LIMIT_EXCEEDED, message, "/input", hint=INPUT_HINT)
        raise problems.error()
    return hashlib.sha256(canonical).hexdigest()


def _build(draft: Draft, links: Links, policies: Policies, stop_grace_seconds: float) -> Plan:
    spec = draft.checked
    nodes = tuple(
        NodePlan(
            key=NodeKey(node.id),
            tool=node.tool,
            input=node.input,
            depends_on=link.depends_on,
            reads=link.reads,
            when=link.when,
            retry=policies.retry(node),
            timeout=policies.timeout(node),
            continue_on_failure=node.continue_on_failure,
            limits=node.limits,
        )
        for node, link in zip(spec.nodes, links, strict=True)
    )
    return Plan(
        name=spec.name,
        nodes=nodes,
        output=spec.output,
        timeout_seconds=spec.timeout_seconds,
        stop_grace_seconds=stop_grace_seconds,
        maximum_concurrency=spec.maximum_concurrency,
        budget=spec.budget,
    )
