"""Agents with the scripted model, through the real engine."""

from gql_app.core.events import StepKind
from gql_app.core.ids import NodeKey
from gql_app.testing.virtual_time import run_on_virtual_time
from tests.support.agents import add, agents, asked, calls, output_of, steps_started, text_of_attempt


def test_an_agent_calls_a_tool_and_every_request_and_call_is_a_step() -> None:
    async def scene() -> None:
        script = [calls(("math.add", {"a": 1, "b": 2}), text="Let me see."), "It is 3."]
        async with agents(add) as made:
            run_id = await made.submit(asked(script, tools=["math.add"]))
            run = await made.finished(run_id)
            log = await made.log(run_id)

        assert output_of(run)["output"] == "It is 3."
        assert output_of(run)["steps"] == 2
        assert output_of(run)["usage"] == {"requests": 2, "inputTokens": 200, "outputTokens": 40, "costUsd": None}
        assert steps_started(log) == ["model-1", "call_1_1", "model-2"]
        assert [run.step(NodeKey("a"), step).request.kind for step in steps_started(log)] == [  # type: ignore[union-attr]
            StepKind.MODEL,
            StepKind.TOOL,
            StepKind.MODEL,
        ]
        assert run.usage is not None
        assert run.usage.tokens == 240
        assert text_of_attempt(log, 1) == "Let me see.It is 3."

    run_on_virtual_time(scene())
