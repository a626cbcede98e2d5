"""Structured output of agents, and agents inside agents."""

from collections.abc import Sequence

import pytest

from gql_app.core.events import RunEvent
from gql_app.core.run import WorkflowRun
from gql_app.core.values import Json
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.agents import add, agents, asked, calls, output_of, steps_started, told
from tests.support.engine import node_of

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "required": ["value"],
    "$defs": {"tree": {"type": "object", "properties": {"children": {"items": {"$ref": "#/$defs/tree"}}}}},
}


def play(script: Sequence[Json], **fields: Json) -> tuple[WorkflowRun, Json, Sequence[RunEvent]]:
    """Run an agent: the run, its output, its log."""
    ended: list[tuple[WorkflowRun, Json, Sequence[RunEvent]]] = []

    async def scene() -> None:
        async with agents(add) as made:
            run_id = await made.submit(asked(script, **fields))
            run = await made.finished(run_id)
            ended.append((run, await output_of(made, run), await made.log(run_id)))

    run_on_virtual_time(scene())
    return ended[0]


@pytest.mark.parametrize("mode", ["tool", "native"])
@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (PERSON, {"name": "Ada", "age": 36}),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2, 3]),
        ({"enum": ["yes", "no"]}, "yes"),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "number"}}}, 1.5),
        (TREE, {"value": 1, "children": [{"children": []}]}),
        (True, None),
    ],
    ids=["an object", "a list", "a choice", "a reference", "a tree", "anything"],
)
def test_an_output_fits_its_schema_whatever_its_type(schema: Json, value: Json, mode: str) -> None:
    run, output, _ = play([{"output": value}], outputSchema=schema, outputMode=mode)

    assert node_of(run, "a").error is None
    assert output["output"] == value


@pytest.mark.parametrize("mode", ["tool", "native"])
def test_an_output_that_does_not_fit_is_asked_for_again_with_what_is_wrong(mode: str) -> None:
    script = [{"output": {"name": "", "age": -1}}, {"output": {"name": "Ada", "age": 36}}]

    _, output, log = play(script, outputSchema=PERSON, outputMode=mode, includeMessages=True)

    assert output["output"] == {"name": "Ada", "age": 36}
    assert steps_started(log) == ["model-1", "model-2"]
    said = str(output["messages"])
    assert "At /age: -1 does not fit `minimum`: 0." in said
    assert "At /name" in said


def test_a_model_that_answers_with_words_is_asked_for_the_output() -> None:
    _, output, _ = play(["I think it is Ada.", {"output": {"name": "Ada", "age": 36}}], outputSchema=PERSON)

    assert output["output"] == {"name": "Ada", "age": 36}


@pytest.mark.parametrize("mode", ["tool", "native"])
def test_a_model_whose_output_never_fits_is_given_up(mode: str) -> None:
    run, _, log = play([{"output": {}}] * 10, outputSchema=PERSON, outputMode=mode)

    error = node_of(run, "a").error
    assert error is not None
    assert (error.type, error.retryable) == ("AgentGaveUp", False)
    assert len(steps_started(log)) == 3


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "nonsense"}, "`outputSchema` is not a JSON Schema at /type"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "Only the dialect"),
        ({"pattern": "(?=x)"}, "`outputSchema`"),
    ],
    ids=["unsound", "old", "looks around"],
)
def test_a_schema_that_is_none_is_refused_before_anything_is_asked(schema: Json, reason: str) -> None:
    run, _, log = play([{"output": "x"}], outputSchema=schema)

    error = node_of(run, "a").error
    assert error is not None
    assert (error.type, error.retryable) == ("InvalidInput", False)
    assert reason in error.message or "pattern" in error.message
    assert len(steps_started(log)) <= 1


def nested(depth: int, answer: str = "Deep.") -> list[Json]:
    """Script an agent that calls an agent, and so on; the innermost only answers."""
    if depth == 1:
        return [answer]
    inner = {"prompt": "Go deeper.", "tools": ["agent", "math.add"], "script": nested(depth - 1, answer)}
    return [calls(("agent", inner)), f"Level {depth}."]


def test_agents_call_agents_whose_steps_stand_under_the_call() -> None:
    run, output, log = play(nested(3), tools=["agent", "math.add"])

    assert output["output"] == "Level 3."
    assert steps_started(log) == [
        "model-1",
        "call_1_1",
        "call_1_1/model-1",
        "call_1_1/call_1_1",
        "call_1_1/call_1_1/model-1",
        "call_1_1/model-2",
        "model-2",
    ]
    assert output["usage"]["requests"] == 5
    assert run.usage is not None
    assert run.usage.requests == 5


def test_the_fourth_agent_is_refused_and_the_third_goes_on_without_it() -> None:
    run, output, log = play(nested(4), tools=["agent", "math.add"])

    assert output["output"] == "Level 4."
    assert node_of(run, "a").error is None
    assert max(step.count("/") for step in steps_started(log)) == 2


def test_an_agent_is_not_handed_agents_by_a_pattern() -> None:
    _, output, log = play([calls(("agent", {"prompt": "Hi."})), "Alone."], tools=["*"], includeMessages=True)

    assert output["output"] == "Alone."
    assert "Unknown tool name: 'agent'" in told(output["messages"])[0]
    assert steps_started(log) == ["model-1", "model-2"]


def test_an_agent_hands_on_only_what_it_has() -> None:
    greedy = calls(
        ("agent", {"prompt": "Hi.", "tools": ["math.add"], "script": ["Never."]}),
        ("agent", {"prompt": "Hi.", "model": "openai:gpt-5", "script": ["Never."]}),
    )

    _, output, log = play([greedy, "Then not."], tools=["agent"], includeMessages=True)

    assert output["output"] == "Then not."
    assert told(output["messages"]) == [
        "You can hand on only tools that you have yourself: agent.",
        "The agent cannot use 'openai:gpt-5': leave `model` out.",
    ]
    assert steps_started(log) == ["model-1", "model-2"]


def test_what_an_inner_agent_uses_counts_for_the_budget_of_the_outer() -> None:
    inner = {"prompt": "Hi.", "script": [{"text": "Long.", "inputTokens": 500}]}

    run, _, _ = play([calls(("agent", inner)), "Never."], tools=["agent"], budget={"tokens": 400})

    error = node_of(run, "a").error
    assert error is not None
    assert error.type == "BudgetExceeded"


@pytest.mark.parametrize("pattern", ["math.subtract", "http.*", "mat?.add"])
def test_tools_that_are_not_there_are_refused_before_anything_is_asked(pattern: str) -> None:
    run, _, log = play(["Never."], tools=[pattern])

    error = node_of(run, "a").error
    assert error is not None
    assert (error.type, error.retryable) == ("InvalidInput", False)
    assert repr(pattern) in error.message
    assert steps_started(log) == []
