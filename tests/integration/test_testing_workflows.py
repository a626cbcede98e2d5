"""What authors of tools can ask of a whole run, with scripted tools and on virtual time."""

import asyncio
import types
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gql_app import RetryPolicy, ToolContext, ToolError, tool
from gql_app.core.errors import InvalidToolError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.testing import (
    Delay,
    Hang,
    InvalidWorkflowError,
    LogLine,
    NoOutputError,
    RunResult,
    ScriptedTool,
    ScriptError,
    Stream,
    on_virtual_time,
    run_workflow,
    run_workflow_async,
)
from tests.support.service import document
from tests.support.tools import greet


class Item(BaseModel):
    name: str
    required: bool


class Receipt(BaseModel):
    total: float
    items: list[Item]


def calling(name: str, **fields: Json) -> Json:
    """Write a document whose one node, `a`, calls a tool."""
    return document({"id": "a", "tool": name, **fields})


def run_script(*script: Json, **fields: Json) -> tuple[ScriptedTool, RunResult]:
    """Run a document whose one node calls a scripted tool."""
    scripted = ScriptedTool("work", script)
    return scripted, run_workflow(calling("work", **fields), tools=[scripted])


def test_a_run_tells_its_output_nodes_attempts_and_events() -> None:
    result = run_workflow(
        {
            "name": "pipeline",
            "nodes": [
                {"id": "hi", "tool": "greet", "input": {"name": "${ input.name }"}},
                {
                    "id": "wait",
                    "tool": "delay",
                    "input": {"seconds": 7_200},
                    "dependsOn": ["hi"],
                    "timeout": {"attemptSeconds": 8_000},
                },
                {"id": "never", "tool": "echo", "input": {"value": 1}, "when": "${ input.name == 'Bob' }"},
            ],
            "timeoutSeconds": 10_000,
            "output": "${ nodes.hi.output }",
        },
        tools=[greet],
        input={"name": "Ada"},
    )

    assert (result.status, result.output, result.seconds) == ("COMPLETED", "Hello, Ada!", 7_200.0)
    assert result.nodes["hi"].output == "Hello, Ada!"
    [attempt] = result.nodes["wait"].attempts
    assert (attempt.number, attempt.status, attempt.started, attempt.seconds) == (1, "COMPLETED", 0.0, 7_200.0)
    with pytest.raises(NoOutputError, match="Node 'never' has no output: it is SKIPPED"):
        _ = result.nodes["never"].output
    assert (result.kinds[0], result.kinds[-1]) == ("WorkflowSubmitted", "WorkflowCompleted")
    assert [event.sequence for event in result.events] == list(range(1, len(result.events) + 1))


def test_retries_of_an_hour_pass_in_a_moment_and_as_the_policy_says() -> None:
    hourly = {"maximumAttempts": 4, "initialIntervalSeconds": 3_600, "maximumIntervalSeconds": 86_400}
    failing = ToolError("Not yet.", type="Closed")

    scripted = ScriptedTool("work", [failing, failing, failing, "open"])
    result = run_workflow({**calling("work", retry=hourly), "timeoutSeconds": 86_400}, tools=[scripted])

    assert result.output == {"a": "open"}
    assert [call.at for call in scripted.calls] == [0.0, 3_600.0, 10_800.0, 25_200.0]
    assert [attempt.started for attempt in result.nodes["a"].attempts] == [0.0, 3_600.0, 10_800.0, 25_200.0]
    assert [attempt.error and attempt.error.type for attempt in result.nodes["a"].attempts] == ["Closed"] * 3 + [None]


def test_a_script_says_what_each_call_comes_to() -> None:
    class Out(BaseModel):
        n: int

    async def later(value: Json) -> Json:
        await asyncio.sleep(1)
        return {"later": value}

    outputs = []
    for entry in ["text", {"a": 1}, Out(n=5), Delay(3, [1]), lambda value: value["x"], later, lambda _: Delay(2, None)]:
        _, result = run_script(entry, input={"x": 7})
        outputs.append((result.output["a"], result.seconds))

    assert outputs == [
        ("text", 0.0),
        ({"a": 1}, 0.0),
        ({"n": 5}, 0.0),
        ([1], 3.0),
        (7, 0.0),
        ({"later": {"x": 7}}, 1.0),
        (None, 2.0),
    ]


def test_a_script_can_raise_hang_and_be_told_apart_by_its_calls() -> None:
    scripted, result = run_script(
        LookupError("gone"), TimeoutError, Hang(), "done", retry={"maximumAttempts": 4}, timeout={"attemptSeconds": 10}
    )

    errors = [attempt.error and attempt.error.type for attempt in result.nodes["a"].attempts]
    assert errors == ["LookupError", "TimeoutError", "AttemptTimeout", None]
    assert [(call.node, call.attempt, call.input) for call in scripted.calls] == [
        ("a", number, {}) for number in (1, 2, 3, 4)
    ]
    assert len({call.idempotency_key for call in scripted.calls}) == 1
    assert scripted.left == ()


def test_a_script_tells_what_is_left_of_it() -> None:
    scripted, _ = run_script("first", "second", Hang())

    assert scripted.left == ("second", Hang())
    assert repr(scripted) == "<scripted tool 'work', called 1 times>"


def test_a_script_that_runs_out_fails_the_test_and_says_where() -> None:
    with pytest.raises(ScriptError) as caught:
        run_script(ToolError("no"), input={"x": 1})

    assert str(caught.value) == (
        "Scripted tool 'work': its script has 1 entries, but this is call 2, by node 'a', attempt 2, with {'x': 1}."
        " Give it more, or `then=` for every further call."
    )


def test_every_further_call_comes_to_then() -> None:
    scripted = ScriptedTool("work", ["first"], then=lambda value: value)
    nodes = [{"id": name, "tool": "work", "input": {"x": name}} for name in "abc"]

    result = run_workflow({"name": "three", "nodes": nodes, "maximumConcurrency": 1}, tools=[scripted])

    assert result.output == {"a": "first", "b": {"x": "b"}, "c": {"x": "c"}}


def test_a_scripted_tool_stands_in_for_the_real_one_with_all_that_is_declared_of_it() -> None:
    scripted = ScriptedTool("http.request", [ToolError("busy", retry_after=30), {"status": 200}])
    good = calling("http.request", input={"url": "https://example.com/"})

    with pytest.raises(InvalidWorkflowError, match="at /nodes/0/input"):
        run_workflow(calling("http.request", input={"address": "https://example.com/"}), tools=[scripted])
    result = run_workflow(good, tools=[scripted])

    assert result.output["a"]["status"] == 200
    assert result.seconds == 30


def test_an_output_that_the_real_tool_could_not_return_fails_the_test() -> None:
    with pytest.raises(ScriptError, match="the output 5 does not fit the tool's output schema: Expected string, not 5"):
        run_workflow(calling("greet", input={"name": "Ada"}), tools=[greet, ScriptedTool("greet", [5])])


def test_an_output_may_leave_fields_out_but_those_it_has_must_fit() -> None:
    @tool
    async def sell() -> Receipt:
        raise NotImplementedError

    result = run_workflow(calling("sell"), tools=[sell, ScriptedTool("sell", [{"items": [{"required": True}]}])])

    assert result.output == {"a": {"items": [{"required": True}]}}
    with pytest.raises(ScriptError, match=r"output schema at /items/0/required: Expected boolean, not 5\."):
        run_workflow(calling("sell"), tools=[sell, ScriptedTool("sell", [{"items": [{"required": 5}]}])])


def test_an_input_that_an_expression_made_is_checked_as_by_the_real_tool() -> None:
    scripted = ScriptedTool("greet", [])

    result = run_workflow(
        calling("greet", input={"name": "${ input }"}), tools=[greet, scripted], input={"not": "a text"}
    )

    assert result.error is not None
    assert result.error.type == "InvalidInput"
    assert scripted.calls == []


def test_a_scripted_tool_may_be_defined_by_the_test() -> None:
    definition = ToolDefinition(
        name="any", input_schema={"type": "object", "required": ["x"]}, retry=RetryPolicy(maximum_attempts=1)
    )
    scripted = ScriptedTool("acme.work", [ToolError("no")], definition=definition)

    with pytest.raises(InvalidWorkflowError, match='The field "x" is missing'):
        run_workflow(calling("acme.work", input={}), tools=[scripted])
    assert len(run_workflow(calling("acme.work", input={"x": 1}), tools=[scripted]).nodes["a"].attempts) == 1


@pytest.mark.parametrize("script", ["text", {"a": 1}, 5, None])
def test_a_script_is_a_list(script: Json) -> None:
    with pytest.raises(TypeError, match="The script of 'work' is a list of what its calls come to"):
        ScriptedTool("work", script)


def test_two_scripts_for_one_tool_are_refused() -> None:
    with pytest.raises(InvalidToolError, match="two scripted tools named 'work': join their scripts"):
        run_workflow(calling("work"), tools=[ScriptedTool("work", [1]), ScriptedTool("work", [2])])


def test_a_module_brings_its_tools() -> None:
    module = types.ModuleType("acme")
    vars(module).update(hello=greet, again=greet, other=5)

    assert run_workflow(calling("greet", input={"name": "Ada"}), tools=[module]).output == {"a": "Hello, Ada!"}
    with pytest.raises(InvalidToolError, match="Module 'empty' has no tools"):
        run_workflow(calling("greet"), tools=[types.ModuleType("empty")])


def test_secrets_are_put_in_and_not_shown() -> None:
    scripted = ScriptedTool("work", [lambda value: value])

    result = run_workflow(
        calling("work", input={"key": "${ secrets.API_KEY }"}), tools=[scripted], secrets={"API_KEY": "hunter2!"}
    )

    assert scripted.calls[0].input == {"key": "hunter2!"}
    assert "hunter2!" not in str(result)


def test_a_run_can_be_cancelled_after_a_while() -> None:
    result = run_workflow(calling("work"), tools=[ScriptedTool("work", [Hang()])], cancel_after=10)

    assert (result.status, result.seconds) == ("CANCELLED", 10.0)
    with pytest.raises(NoOutputError, match="The run has no output: it is CANCELLED"):
        _ = result.output


def test_a_run_that_has_ended_before_is_not_cancelled() -> None:
    assert run_workflow(calling("work"), tools=[ScriptedTool("work", [1])], cancel_after=10).status == "COMPLETED"


def test_a_failed_run_says_why_it_has_no_output() -> None:
    _, result = run_script(ToolError("No luck.", type="Luck", retryable=False))

    with pytest.raises(NoOutputError, match=r"it is FAILED, Luck \(node a\): No luck\."):
        _ = result.output


@on_virtual_time
async def test_runs_on_one_loop_of_an_async_test_go_on_in_one_time() -> None:
    slow, fast = ScriptedTool("slow", [Delay(50)]), ScriptedTool("fast", [Delay(1)])

    results = await asyncio.gather(
        run_workflow_async(calling("slow"), tools=[slow]), run_workflow_async(calling("fast"), tools=[fast])
    )

    assert [result.seconds for result in results] == [50.0, 1.0]
    assert asyncio.get_running_loop().time() == 50


def test_expressions_that_need_a_process_take_no_virtual_time() -> None:
    big = list(range(2_000))
    scripted = ScriptedTool("work", [big, lambda value: value])

    result = run_workflow(
        {
            "name": "heavy",
            "nodes": [
                {"id": "a", "tool": "work"},
                {"id": "b", "tool": "work", "input": {"sum": "${ nodes.a.output.map(x, x + 1).size() }"}},
            ],
        },
        tools=[scripted],
    )

    assert result.nodes["b"].output == {"sum": 2_000}
    assert result.seconds == 0


def test_what_the_last_attempt_of_a_node_showed_is_in_its_result() -> None:
    @tool
    async def write(context: ToolContext) -> AsyncIterator[str]:
        context.log("warning", "begins", attempt=context.attempt)
        yield f"attempt {context.attempt}: "
        await asyncio.sleep(1)
        context.progress(0.5, "half")
        if context.attempt == 1:
            raise ToolError("broken")
        yield "done"

    result = run_workflow(calling("write"), tools=[write])

    node = result.nodes["a"]
    assert node.output == node.streamed == "attempt 2: done"
    assert node.logs == (LogLine(level="warning", message="begins", fields={"attempt": 2}),)
    assert [(report.fraction, report.message) for report in node.progress] == [(0.5, "half")]


def test_a_scripted_stream_is_shown_as_it_grows() -> None:
    scripted = ScriptedTool("work", [Stream(["a", "b", "c"], every=10), Stream(["x"], then={"n": 1})])
    nodes = [{"id": "one", "tool": "work"}, {"id": "two", "tool": "work", "dependsOn": ["one"]}]

    result = run_workflow({"name": "streams", "nodes": nodes}, tools=[scripted])

    assert (result.nodes["one"].output, result.nodes["one"].streamed) == ("abc", "abc")
    assert (result.nodes["two"].output, result.nodes["two"].streamed) == ({"n": 1}, "x")
    assert result.kinds.count("NodeOutputChunk") == 4
    assert result.seconds == 30


def test_the_steps_of_a_tool_are_in_its_result_and_call_scripted_tools() -> None:
    @tool
    async def both(context: ToolContext) -> Json:
        first = await context.call_tool("look-up", "work", {"x": 1})
        second = await context.step("add", lambda inner: add(first, inner), input=first)
        if context.attempt == 1:
            raise ToolError("once more")
        return second

    async def add(value: Json, context: ToolContext) -> Json:
        context.report_usage(input_tokens=5, output_tokens=2)
        return value + 1

    scripted = ScriptedTool("work", [ToolError("busy", retry_after=60), 41])
    result = run_workflow(calling("both", timeout={"attemptSeconds": 600}), tools=[both, scripted])

    assert result.output == {"a": 42}
    look_up, added = result.nodes["a"].steps
    assert (look_up.kind, look_up.name, look_up.input, look_up.output) == ("TOOL", "work", {"x": 1}, 41)
    assert (added.id, added.status, added.output) == ("add", "COMPLETED", 42)
    assert [(call.step, call.at) for call in scripted.calls] == [("look-up", 0.0), ("look-up", 60.0)]
    assert result.usage is not None
    assert result.usage.tokens == 7


@given(delays=st.lists(st.floats(0, 1e5, allow_nan=False), min_size=1, max_size=8), limit=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_calls_side_by_side_take_the_time_that_their_limit_makes_them_take(delays: list[float], limit: int) -> None:
    scripted = ScriptedTool("work", then=lambda value: Delay(value["seconds"], value["seconds"]))
    nodes = [
        {"id": f"n{number}", "tool": "work", "input": {"seconds": seconds}, "timeout": {"attemptSeconds": 2e5}}
        for number, seconds in enumerate(delays)
    ]
    spec = {"name": "many", "nodes": nodes, "maximumConcurrency": limit, "timeoutSeconds": 2e6}

    result = run_workflow(spec, tools=[scripted])

    free = [0.0] * limit
    for seconds in delays:
        free[free.index(min(free))] += seconds
    assert result.status == "COMPLETED"
    assert len(scripted.calls) == len(delays)
    assert result.seconds == pytest.approx(max(free), abs=0.01)
