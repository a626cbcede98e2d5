"""Expressions that cost far more than they look, in every place where one may stand."""

from collections.abc import AsyncIterator

import pytest

from gql_app.bootstrap import Application, application
from gql_app.core.errors import InvalidWorkflowError, ProblemCode
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.run import RunStatus, WorkflowRun
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.documents import document, echo
from tests.support.graphql import Api
from tests.support.hostile_expressions import FAT_LIST, STRING_DOUBLER

pytestmark = pytest.mark.anyio

HOSTILE = f"${{ {FAT_LIST} }}"
HARMLESS = "${ [1, 2].map(x, x + 1) }"
NODE_INPUT = "query ($id: ID!) { workflow(id: $id) { nodes { id input } } }"


@pytest.fixture(scope="module")
async def opened() -> AsyncIterator[Application]:
    """A service whose evaluations have little memory and all the time there is."""
    async with application(Settings(expression_memory_bytes=64 << 20, expression_seconds=60)) as opened:
        yield opened


async def perform(opened: Application, what: Json) -> WorkflowRun:
    run = await opened.service.submit(DEFAULT_NAMESPACE, what)
    updates = [update async for update in opened.service.watch(DEFAULT_NAMESPACE, run.run_id)]
    return updates[-1].run


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(document(echo("a", HOSTILE)), id="input"),
        pytest.param(document({**echo("a", 1), "when": f"${{ size({FAT_LIST}) > 0 }}"}), id="when"),
        pytest.param(document(echo("a", 1), output=HOSTILE), id="output"),
        pytest.param(
            document({"id": "a", "tool": "value.transform", "input": {"expression": FAT_LIST}}), id="value.transform"
        ),
    ],
)
async def test_a_hostile_expression_fails_its_run_at_once(opened: Application, what: Json) -> None:
    run = await perform(opened, what)

    assert run.status is RunStatus.FAILED
    error = run.error if run.nodes[0].error is None else run.nodes[0].error
    assert error is not None
    assert error.type == "ExpressionError"
    assert "needs more than the 64 MiB of memory" in error.message
    assert len(run.nodes[0].attempts) <= 1


async def test_the_input_of_a_node_that_cannot_be_resolved_is_null_in_a_query(opened: Application) -> None:
    run = await perform(opened, document(echo("a", HARMLESS), {**echo("b", HOSTILE), "continueOnFailure": True}))

    data = await Api(opened.service).ask(NODE_INPUT, id=run.run_id)

    assert data["workflow"]["nodes"] == [{"id": "a", "input": {"value": [2, 3]}}, {"id": "b", "input": None}]


async def test_harmless_comprehensions_work_in_every_place(opened: Application) -> None:
    transformed = {"id": "b", "tool": "value.transform", "input": {"expression": "value.map(x, x + 1)", "value": [1]}}
    what = document(
        {**echo("a", HARMLESS), "when": "${ [1].exists(x, x == 1) }"},
        transformed,
        output={"all": "${ [nodes.a.output, nodes.b.output].map(x, size(x)) }"},
    )

    run = await perform(opened, what)

    assert await opened.service.value(run, run.output) == {"all": [2, 1]}


async def test_a_condition_evaluated_elsewhere_skips_its_node(opened: Application) -> None:
    run = await perform(opened, document({**echo("a", 1), "when": "${ [1].exists(x, x == 2) }"}))

    assert run.status is RunStatus.COMPLETED
    assert run.nodes[0].skip_reason is not None


async def test_the_string_doubler_is_refused_with_the_document(opened: Application) -> None:
    with pytest.raises(InvalidWorkflowError) as caught:
        await opened.service.submit(DEFAULT_NAMESPACE, document(echo("a", f"${{ {STRING_DOUBLER} }}")))

    [problem] = caught.value.problems
    assert (problem.code, problem.pointer) == (ProblemCode.INVALID_EXPRESSION, "/nodes/0/input/value")
    assert "8 comprehensions; 2 are allowed" in problem.message
