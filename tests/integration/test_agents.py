"""Agents with the scripted model, through the real engine."""

import asyncio

import pytest

from gql_app.core.events import NodeOutputChunk, StepCompleted, StepFailed, StepKind, StepQueued, StepStarted
from gql_app.core.ids import DEFAULT_NAMESPACE, NodeKey
from gql_app.core.run import NodeStatus, RunStatus
from gql_app.core.spec import Budget, RetryPolicy, TimeoutPolicy
from gql_app.core.step_run import StepStatus
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.testing.virtual_time import NOON, run_on_virtual_time
from gql_app.tools.decorator import tool
from tests.support.agents import (
    add,
    agents,
    asked,
    calls,
    engine_with_agents,
    output_of,
    steps_started,
    text_of_attempt,
    told,
)
from tests.support.builders import ONCE, node
from tests.support.engine import node_of
from tests.support.troubled_repository import TroubledRepository


def test_an_agent_calls_a_tool_and_every_request_and_call_is_a_step() -> None:
    async def scene() -> None:
        script = [calls(("math.add", {"a": 1, "b": 2}), text="Let me see."), "It is 3."]
        async with agents(add) as made:
            run_id = await made.submit(asked(script, tools=["math.add"]))
            run = await made.finished(run_id)
            log = await made.log(run_id)

        assert (await output_of(made, run))["output"] == "It is 3."
        assert (await output_of(made, run))["steps"] == 2
        assert (await output_of(made, run))["usage"] == {
            "requests": 2,
            "inputTokens": 200,
            "outputTokens": 40,
            "costUsd": None,
        }
        assert steps_started(log) == ["model-1", "call_1_1", "model-2"]
        assert [step.request.kind for step in node_of(run, "a").steps] == [
            StepKind.MODEL,
            StepKind.TOOL,
            StepKind.MODEL,
        ]
        assert run.usage is not None
        assert run.usage.tokens == 240
        assert text_of_attempt(log, 1) == "Let me see.It is 3."

    run_on_virtual_time(scene())


def test_text_is_shown_while_the_model_writes_it() -> None:
    async def scene() -> None:
        script = [{"text": "one two three", "chunkDelaySeconds": 10}]
        async with agents() as made:
            run_id = await made.submit(asked(script))
            await made.finished(run_id)
            chunks = [event for event in await made.log(run_id) if isinstance(event, NodeOutputChunk)]

        assert [chunk.text for chunk in chunks] == ["one", " two", " three"]
        assert [round((chunk.at - NOON).total_seconds()) for chunk in chunks] == [10, 20, 30]
        assert {chunk.step for chunk in chunks} == {"model-1"}

    run_on_virtual_time(scene())


def test_without_streaming_an_answer_is_shown_when_it_is_there() -> None:
    async def scene() -> None:
        async with agents() as made:
            run_id = await made.submit(asked([{"text": "one two three", "delaySeconds": 5}], stream=False))
            run = await made.finished(run_id)
            chunks = [event for event in await made.log(run_id) if isinstance(event, NodeOutputChunk)]

        assert (await output_of(made, run))["output"] == "one two three"
        assert [chunk.text for chunk in chunks] == ["one two three"]

    run_on_virtual_time(scene())


def test_a_model_is_told_what_is_wrong_with_its_calls_and_may_correct_them() -> None:
    async def scene() -> None:
        script = [
            calls(("math.add", {"a": "one"}), ("math.subtract", {}), ("math.add", '{"a": 1,')),
            calls(("math.add", {"a": 1, "b": 2})),
            "3",
        ]
        async with agents(add) as made:
            run_id = await made.submit(asked(script, tools=["math.*"], includeMessages=True))
            run = await made.finished(run_id)
            log = await made.log(run_id)

        assert (await output_of(made, run))["output"] == "3"
        assert steps_started(log) == ["model-1", "model-2", "call_2_1", "model-3"]
        wrong, unknown, unreadable = told((await output_of(made, run))["messages"])[:3]
        assert wrong == (
            'These arguments do not fit the tool: At /a: Expected integer, not "one". The field "b" is missing.'
        )
        assert "Unknown tool name: 'math.subtract'" in unknown
        assert "Invalid JSON" in str(unreadable)

    run_on_virtual_time(scene())


def test_a_model_that_does_no_better_is_given_up() -> None:
    async def scene() -> None:
        script = [calls(("math.add", {}))] * 10
        async with agents(add) as made:
            run_id = await made.submit(asked(script, tools=["math.*"]))
            run = await made.finished(run_id)
            log = await made.log(run_id)

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, error.retryable) == ("AgentGaveUp", False)
        assert "math_add" in error.message
        assert len(node_of(run, "a").attempts) == 1
        assert steps_started(log) == ["model-1", "model-2", "model-3"]

    run_on_virtual_time(scene())


def test_a_model_is_told_why_a_tool_failed_for_good_and_goes_on() -> None:
    tries: list[int] = []

    @tool(name="flaky", retry=RetryPolicy(maximum_attempts=2))
    async def flaky(context: ToolContext) -> None:
        tries.append(context.attempt)
        raise ValueError("The disk is full.")

    async def scene() -> None:
        async with agents(flaky) as made:
            run_id = await made.submit(
                asked([calls(("flaky", {})), "Then not."], tools=["flaky"], includeMessages=True)
            )
            run = await made.finished(run_id)
            log = await made.log(run_id)

        assert (await output_of(made, run))["output"] == "Then not."
        assert told((await output_of(made, run))["messages"]) == ["ValueError: The disk is full."]
        assert tries == [1, 2]
        assert [event.step_attempt for event in log if isinstance(event, StepFailed)] == [1, 2]

    run_on_virtual_time(scene())


def test_calls_that_are_wanted_at_once_go_on_side_by_side_but_not_too_many() -> None:
    at_once: list[int] = [0, 0]

    @tool(name="slow")
    async def slow(number: int) -> int:
        at_once[0] += 1
        at_once[1] = max(at_once)
        await asyncio.sleep(10)
        at_once[0] -= 1
        return number

    async def scene() -> None:
        script = [calls(*[("slow", {"number": number}) for number in range(20)]), "Done."]
        async with agents(slow) as made:
            run = await made.perform(asked(script, tools=["slow"], includeMessages=True))

        assert told((await output_of(made, run))["messages"]) == [str(number) for number in range(20)]
        assert at_once == [0, 8]
        assert run.finished_at is not None
        assert round((run.finished_at - NOON).total_seconds()) == 30

    run_on_virtual_time(scene())


def test_a_model_that_never_comes_to_an_end_is_stopped() -> None:
    async def scene() -> None:
        script = [calls(("math.add", {"a": 1, "b": 1}))] * 10
        async with agents(add) as made:
            run_id = await made.submit(asked(script, tools=["math.*"], maximumSteps=4))
            run = await made.finished(run_id)
            log = await made.log(run_id)

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, error.retryable) == ("MaximumStepsReached", False)
        assert [step for step in steps_started(log) if step.startswith("model")] == [f"model-{n}" for n in range(1, 5)]

    run_on_virtual_time(scene())


def test_an_agent_is_not_asked_again_once_its_budget_is_used_up() -> None:
    async def scene() -> None:
        script = [calls(("math.add", {"a": 1, "b": 1}), inputTokens=60, outputTokens=41), "Never."]
        async with agents(add) as made:
            run = await made.perform(asked(script, tools=["math.*"], budget={"tokens": 100}))

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, error.retryable) == ("BudgetExceeded", False)
        assert "101 tokens" in error.message

    run_on_virtual_time(scene())


def test_the_budget_of_a_run_ends_it_whatever_its_agents_may_use() -> None:
    async def scene() -> None:
        script = [calls(("math.add", {"a": 1, "b": 1}))] * 3
        async with agents(add) as made:
            run = await made.perform(asked(script, tools=["math.*"]), budget=Budget(tokens=200))

        assert run.status is RunStatus.FAILED
        assert run.error is not None
        assert run.error.type == "BudgetExceeded"

    run_on_virtual_time(scene())


def test_a_provider_that_asks_to_wait_is_given_exactly_that_time() -> None:
    async def scene() -> None:
        script = [{"error": {"status": 429, "retryAfterSeconds": 7}}, "Hello."]
        async with agents() as made:
            run_id = await made.submit(asked(script))
            run = await made.finished(run_id)
            failed = [event for event in await made.log(run_id) if isinstance(event, StepFailed)]

        assert (await output_of(made, run))["output"] == "Hello."
        assert [event.error.type for event in failed] == ["ModelRateLimited"]
        assert run.finished_at is not None
        assert round((run.finished_at - NOON).total_seconds()) == 7

    run_on_virtual_time(scene())


def test_what_a_broken_stream_has_shown_is_void_and_the_rest_is_the_output() -> None:
    async def scene() -> None:
        script = [{"text": "Once upon a time", "error": {"status": 503, "afterChunks": 2}}, "The end."]
        async with agents() as made:
            run_id = await made.submit(asked(script))
            run = await made.finished(run_id)
            chunks = [event for event in await made.log(run_id) if isinstance(event, NodeOutputChunk)]

        assert (await output_of(made, run))["output"] == "The end."
        assert "".join(chunk.text for chunk in chunks if chunk.step_attempt == 1) == "Once upon"
        assert "".join(chunk.text for chunk in chunks if chunk.step_attempt == 2) == "The end."

    run_on_virtual_time(scene())


@pytest.mark.parametrize(
    ("script", "type_"),
    [([{"error": {"status": 401}}, "Never."], "ModelAuthenticationError"), ([], "ScriptExhausted")],
)
def test_what_no_retry_can_help_fails_the_node_at_once(script: list[Json], type_: str) -> None:
    async def scene() -> None:
        async with agents() as made:
            run = await made.perform(asked(script))

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, error.retryable) == (type_, False)
        assert len(node_of(run, "a").attempts) == 1

    run_on_virtual_time(scene())


def test_an_agent_that_is_tried_again_goes_on_where_it_was_and_shows_what_it_has_said() -> None:
    added: list[int] = []

    @tool(name="count")
    async def count() -> int:
        added.append(1)
        return len(added)

    async def scene() -> None:
        once = {"maximumAttempts": 1}
        script = [calls(("count", {}), text="I count."), {"error": {"status": 503}}, "There is one."]
        async with agents(count) as made:
            run_id = await made.submit(asked(script, tools=["count"], retry=once))
            run = await made.finished(run_id)
            log = await made.log(run_id)

        assert (await output_of(made, run))["output"] == "There is one."
        assert (await output_of(made, run))["usage"]["requests"] == 2
        assert len(node_of(run, "a").attempts) == 2
        assert added == [1]
        assert steps_started(log) == ["model-1", "call_1_1", "model-2", "model-2"]
        assert text_of_attempt(log, 2) == "I count.There is one."

    run_on_virtual_time(scene())


def test_a_call_that_failed_for_good_is_not_made_again_when_the_agent_is_tried_again() -> None:
    tries: list[int] = []

    @tool(name="broken", retry=RetryPolicy(maximum_attempts=2))
    async def broken(context: ToolContext) -> None:
        tries.append(context.attempt)
        raise ValueError("The disk is full.")

    async def scene() -> None:
        once = {"maximumAttempts": 1}
        script = [calls(("broken", {})), {"error": {"status": 503}}, "Then not."]
        async with agents(broken) as made:
            run = await made.perform(asked(script, tools=["broken"], retry=once, includeMessages=True))

        assert (await output_of(made, run))["output"] == "Then not."
        assert told((await output_of(made, run))["messages"]) == ["ValueError: The disk is full."]
        assert len(node_of(run, "a").attempts) == 2
        assert tries == [1, 2]

    run_on_virtual_time(scene())


def test_an_agent_whose_process_died_goes_on_in_the_next_and_repeats_nothing_that_was_finished() -> None:
    added: list[int] = []

    @tool(name="count")
    async def count() -> int:
        added.append(1)
        return len(added)

    async def scene() -> None:
        repository = TroubledRepository()
        first = engine_with_agents(repository, count)
        script = [calls(("count", {}), ("count", {})), {"text": "There are two.", "chunkDelaySeconds": 10}]
        run_id = await first.submit(asked(script, tools=["count"]))
        await asyncio.sleep(15)
        await first.executor.abandon()

        async with agents(count, repository=repository) as made:
            await made.executor.start(DEFAULT_NAMESPACE, run_id)
            run = await made.finished(run_id)
            log = await made.log(run_id)

        assert (await output_of(made, run))["output"] == "There are two."
        assert added == [1, 1]
        assert steps_started(log) == ["model-1", "call_1_1", "call_1_2", "model-2", "model-2"]
        assert text_of_attempt(log, 2) == "There are two."

    run_on_virtual_time(scene())


def test_an_agent_that_is_stopped_in_the_middle_of_an_answer_leaves_nothing_behind() -> None:
    async def scene() -> None:
        async with agents() as made:
            run_id = await made.submit(
                asked([{"text": "on and on", "chunkDelaySeconds": 60}], options={"retry": ONCE}), timeout_seconds=90
            )
            run = await made.finished(run_id)

        assert run.status is RunStatus.TIMED_OUT
        assert node_of(run, "a").status is NodeStatus.CANCELLED
        assert [step.status for step in node_of(run, "a").steps] == [StepStatus.CANCELLED]
        assert made.executor.load().leftovers == 0

    run_on_virtual_time(scene())


def test_a_conversation_goes_on_over_nodes() -> None:
    async def scene() -> None:
        async with agents(add) as made:
            first = await made.perform(
                asked([calls(("math.add", {"a": 1, "b": 2})), "3"], tools=["math.*"], includeMessages=True)
            )
            messages = (await output_of(made, first))["messages"]
            second = await made.perform(asked(["Still 3."], messages=messages, prompt="And now?", includeMessages=True))

        assert (await output_of(made, second))["output"] == "Still 3."
        assert len((await output_of(made, second))["messages"]) == len(messages) + 2
        assert (await output_of(made, second))["messages"][: len(messages)] == messages

    run_on_virtual_time(scene())


def test_a_conversation_may_be_told_in_a_simple_form_that_ends_with_the_question() -> None:
    async def scene() -> None:
        messages = [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "How are you?"},
        ]
        given = {"model": "test", "script": ["Fine."], "messages": messages}
        async with agents() as made:
            run = await made.perform(node("a", tool="agent", input=given))

        assert (await output_of(made, run))["output"] == "Fine."

    run_on_virtual_time(scene())


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Hi.", "`messages.0` is no message"),
        ({"role": "king", "content": "Hi."}, "`messages.0` is no message, at `role`"),
        (
            {
                "kind": "request",
                "parts": [
                    {
                        "part_kind": "user-prompt",
                        "content": [{"kind": "image-url", "url": "http://127.0.0.1/", "force_download": True}],
                    }
                ],
            },
            "`messages.0` holds a 'user-prompt' that is not text",
        ),
    ],
    ids=["a text", "nobody's", "a file to fetch"],
)
def test_messages_that_are_none_are_refused(message: Json, reason: str) -> None:
    async def scene() -> None:
        async with agents() as made:
            run = await made.perform(asked(["Never."], messages=[message]))

        error = node_of(run, "a").error
        assert error is not None
        assert error.type == "InvalidInput"
        assert reason in error.message

    run_on_virtual_time(scene())


def test_a_conversation_that_ends_with_an_answer_needs_a_question() -> None:
    async def scene() -> None:
        messages = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
        async with agents() as made:
            given = {"model": "test", "script": ["Never."], "messages": messages}
            run = await made.perform(node("a", tool="agent", input=given))

        error = node_of(run, "a").error
        assert error is not None
        assert error.type == "InvalidInput"
        assert "`messages` ends with an answer" in error.message

    run_on_virtual_time(scene())


def test_a_result_that_is_too_long_for_a_model_is_cut_and_that_is_said() -> None:
    @tool(name="read")
    async def read() -> str:
        return "x" * 1_000

    async def scene() -> None:
        async with agents(read, agent_result_characters=100) as made:
            run = await made.perform(asked([calls(("read", {})), "Long."], tools=["read"], includeMessages=True))

        (result,) = told((await output_of(made, run))["messages"])
        assert result == "x" * 100 + "\n[Cut here: the result has 1000 characters.]"

    run_on_virtual_time(scene())


def test_a_result_that_is_too_big_to_keep_fails_its_call_and_the_model_is_told() -> None:
    @tool(name="read", retry=ONCE)
    async def read() -> str:
        return "x" * 10_000_000

    async def scene() -> None:
        async with agents(read) as made:
            run = await made.perform(asked([calls(("read", {})), "Too big."], tools=["read"], includeMessages=True))

        (result,) = told((await output_of(made, run))["messages"])
        assert result.startswith("InvalidOutput: ")
        assert (await output_of(made, run))["output"] == "Too big."
        assert run.step(NodeKey("a"), "call_1_1") is not None

    run_on_virtual_time(scene())


def test_a_model_that_writes_more_than_can_be_kept_is_stopped() -> None:
    async def scene() -> None:
        async with agents(maximum_output_bytes=2_000) as made:
            run = await made.perform(asked(["so on " * 1_000]))

        error = node_of(run, "a").error
        assert error is not None
        assert (error.type, error.retryable) == ("ModelResponseTooBig", False)

    run_on_virtual_time(scene())


def test_requests_fall_under_the_limit_of_their_model() -> None:
    async def scene() -> None:
        slowly = [{"text": "Hello.", "delaySeconds": 10}]
        limits = {"model.test": {"maximum_concurrency": 1}}
        async with agents(limits=limits) as made:
            run_id = await made.submit(asked(slowly, "a"), asked(slowly, "b"))
            run = await made.finished(run_id)
            queued = [event for event in await made.log(run_id) if isinstance(event, StepQueued)]

        assert run.status is RunStatus.COMPLETED
        assert [(event.step, event.name) for event in queued] == [("model-1", "model.test")]
        assert run.finished_at is not None
        assert round((run.finished_at - NOON).total_seconds()) == 20

    run_on_virtual_time(scene())


@pytest.mark.parametrize("dies_at", [5, 15, 25, 35, 45])
def test_wherever_a_process_dies_no_finished_request_and_no_finished_call_is_made_again(dies_at: int) -> None:
    done: list[str] = []

    @tool(name="slow", timeout=TimeoutPolicy(attempt_seconds=None))
    async def slow(name: str) -> str:
        await asyncio.sleep(10)
        done.append(name)
        return name

    def slowly(*replies: Json) -> list[Json]:
        return [{**reply, "delaySeconds": 10} for reply in replies]

    inner = {
        "prompt": "Look.",
        "tools": ["slow"],
        "script": slowly(calls(("slow", {"name": "inner"}), text="I look."), {"text": "Seen."}),
    }
    script = slowly(
        calls(("slow", {"name": "one"}), ("slow", {"name": "two"}), ("agent", inner), text="I begin."),
        {"text": "All done."},
    )

    async def scene() -> None:
        repository = TroubledRepository()
        first = engine_with_agents(repository, slow)
        run_id = await first.submit(asked(script, tools=["slow", "agent"]))
        await asyncio.sleep(dies_at)
        await first.executor.abandon()
        finished = [event.step for event in await first.log(run_id) if isinstance(event, StepCompleted)]

        async with agents(slow, repository=repository) as made:
            await made.executor.start(DEFAULT_NAMESPACE, run_id)
            run = await made.finished(run_id)
            log = await made.log(run_id)

        assert (await output_of(made, run))["output"] == "All done."
        assert sorted(done) == ["inner", "one", "two"]
        again = [event.step for event in log if isinstance(event, StepStarted) and event.attempt == 2]
        assert not set(again) & set(finished)
        assert sorted([*finished, *again]) == sorted(step.id for step in node_of(run, "a").steps)
        assert text_of_attempt(log, 2).startswith("I begin.")
        assert text_of_attempt(log, 2).endswith("All done.")
        assert run.usage is not None
        assert run.usage.requests == 4

    run_on_virtual_time(scene())
