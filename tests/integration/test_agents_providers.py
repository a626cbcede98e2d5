"""The code of real providers against a server of our own that speaks their protocol, well or badly."""

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest
from pydantic import BaseModel, ConfigDict

from gql_app import tool
from gql_app.core.codec import encode_events
from gql_app.core.events import NodeLog, RunEvent, StepFailed
from gql_app.core.run import RunStatus, WorkflowRun
from gql_app.core.spec import Jitter
from gql_app.core.values import Json
from tests.support.agents import add, agents, output_of, steps_started, text_of_attempt
from tests.support.builders import ONCE, node
from tests.support.engine import node_of
from tests.support.fake_openai import (
    Behaviour,
    FakeOpenAI,
    answers,
    breaks_off,
    calls_tools,
    fake_openai,
    never_ends,
    refuses,
    says,
    says_as_anthropic,
    says_as_responses,
    stalls,
    streams_events,
    streams_raw,
)


class Pick(BaseModel):
    """What to pick."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["by_name", "by_number"]}})

    by_name: str | None = None
    by_number: int | None = None


SOON: Final = {"maximumAttempts": 3, "initialIntervalSeconds": 0.01, "jitter": Jitter.NONE.value}
KEY: Final = "sk-correct-horse-battery"


async def ask(
    *behaviours: Behaviour, timeout: float = 30.0, settings: Json = None, **fields: Json
) -> tuple[WorkflowRun, Sequence[RunEvent], FakeOpenAI, Json]:
    """Run an agent on a server that behaves like this; the last is what it gave."""
    given = {"model": "local:fake-1", "prompt": "Hi.", "retry": SOON, "requestTimeoutSeconds": timeout, **fields}
    async with fake_openai(*behaviours) as server:
        options = {"openai_base_url": server.url, "openai_api_key": KEY, **(settings or {})}
        async with agents(add, pick, **options) as made:
            run_id = await made.submit(node("a", tool="agent", input=given, retry=ONCE))
            run = await made.finished(run_id)
            return run, await made.log(run_id), server, await output_of(made, run)


@tool(name="pick")
async def pick(options: Pick) -> str:
    """Pick one."""
    return options.by_name or str(options.by_number)


def failures(log: Sequence[RunEvent]) -> list[StepFailed]:
    return [event for event in log if isinstance(event, StepFailed)]


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_behind_a_server_answers_and_its_use_is_known(stream: bool) -> None:
    run, log, server, output = asyncio.run(ask(says("Hello to you."), stream=stream, instructions="Be brief."))

    assert run.status is RunStatus.COMPLETED
    assert output["output"] == "Hello to you."
    assert output["usage"] == {"requests": 1, "inputTokens": 7, "outputTokens": 3, "costUsd": None}
    assert run.usage is not None
    assert run.usage.tokens == 10
    assert text_of_attempt(log, 1) == "Hello to you."
    assert [message["role"] for message in server.asked[0]["messages"]] == ["system", "user"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_behind_a_server_calls_tools_side_by_side_by_names_that_it_can_take(stream: bool) -> None:
    wanted = calls_tools(("1", "math_add", '{"a": 1, "b": 2}'), ("1", "math_add", '{"a": 3, "b": 4}'))

    _, log, server, output = asyncio.run(ask(wanted, says("3 and 7"), stream=stream, tools=["math.*"]))

    assert output["output"] == "3 and 7"
    assert steps_started(log) == ["model-1", "call_1", "call_1-2", "model-2"]
    told = [message for message in server.asked[1]["messages"] if message["role"] == "tool"]
    assert [(message["tool_call_id"], message["content"]) for message in told] == [("call_1", "3"), ("call_1-2", "7")]


def test_a_model_is_told_no_schema_that_its_provider_refuses_and_a_call_must_fit_all_of_it() -> None:
    both = calls_tools(("1", "pick", '{"by_name": "a", "by_number": 1}'))
    one = calls_tools(("2", "pick", '{"by_number": 1}'))

    _, log, server, output = asyncio.run(ask(both, one, says("picked"), tools=["pick"]))

    (told,) = (offered["function"] for offered in server.asked[0]["tools"])
    assert set(told["parameters"]["properties"]) == {"by_name", "by_number"}
    assert not {"allOf", "anyOf", "oneOf", "not", "enum"} & told["parameters"].keys()
    assert "do not fit the tool" in server.asked[1]["messages"][-1]["content"]
    assert steps_started(log) == ["model-1", "model-2", "call_2", "model-3"]
    assert output["output"] == "picked"


@pytest.mark.parametrize(
    ("trouble", "type_"),
    [
        (refuses(429, "Slow down.", retry_after="0"), "ModelRateLimited"),
        (refuses(500, "Oops."), "ModelServerError"),
        (refuses(503, "Not now."), "ModelUnavailable"),
        (refuses(529, "Too much."), "ModelUnavailable"),
        (breaks_off("Once upon"), "ModelConnectionError"),
        (answers(200, "<html>Welcome</html>", "text/html"), "InvalidModelResponse"),
        (streams_raw("{nonsense", "[DONE]"), "InvalidModelResponse"),
        (streams_raw('{"choices": 7}', "[DONE]"), "InvalidModelResponse"),
    ],
    ids=["429", "500", "503", "529", "broken off", "HTML", "nonsense in the stream", "no choices in the stream"],
)
def test_what_may_pass_is_tried_again_by_the_policy_and_nothing_of_the_failed_try_is_left(
    trouble: Behaviour, type_: str
) -> None:
    run, log, server, output = asyncio.run(ask(trouble, says("At last.")))

    assert run.status is RunStatus.COMPLETED, node_of(run, "a").error
    assert output["output"] == "At last."
    assert [(event.step, event.error.type, event.error.retryable) for event in failures(log)] == [
        ("model-1", type_, True)
    ]
    # The client of the provider tries nothing again by itself.
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("trouble", "type_"),
    [
        (refuses(400, "What?"), "ModelRequestRejected"),
        (refuses(401, f"Wrong key: {KEY}"), "ModelAuthenticationError"),
        (refuses(403, "Not you."), "ModelAuthenticationError"),
        (refuses(404, "No such model."), "ModelNotFound"),
        (never_ends(), "ModelResponseTooBig"),
    ],
    ids=["400", "401", "403", "404", "without an end"],
)
def test_what_does_not_pass_is_told_at_once_and_in_words_without_the_key(trouble: Behaviour, type_: str) -> None:
    run, _, server, _ = asyncio.run(ask(trouble, says("Never.")))

    error = node_of(run, "a").error
    assert error is not None
    assert (error.type, error.retryable) == (type_, False)
    assert "local:fake-1" in error.message
    assert KEY not in error.message
    assert len(server.asked) == 1


def test_a_stream_that_stalls_is_ended_by_the_timeout_of_its_step() -> None:
    _, log, _, output = asyncio.run(ask(stalls("I think"), says("Done."), timeout=0.5))

    assert output["output"] == "Done."
    (failed,) = failures(log)
    assert failed.error.type in ("HeartbeatTimeout", "AttemptTimeout")


@pytest.mark.parametrize(
    ("model", "hello"),
    [("openai-chat:gpt-4o", says("Hello.")), ("openai:gpt-4o", says_as_responses("Hello."))],
    ids=["chat completions", "responses"],
)
def test_a_price_that_is_known_is_told_and_counts(
    model: str, hello: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> Json:
        async with fake_openai(refuses(503, "Not now."), hello) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            async with agents() as made:
                given = {"model": model, "prompt": "Hi.", "retry": SOON}
                run = await made.perform(node("a", tool="agent", input=given, retry=ONCE))
                assert run.usage is not None
                assert run.usage.cost_usd == (await output_of(made, run))["usage"]["costUsd"]
                return await output_of(made, run)

    output = asyncio.run(scene())

    assert output["output"] == "Hello."
    assert 0 < output["usage"]["costUsd"] < 0.01


def test_agents_that_are_called_use_the_key_of_who_calls_them_and_no_event_holds_it() -> None:
    async def scene() -> None:
        inner = calls_tools(("1", "agent", '{"prompt": "Say hello."}'))
        async with fake_openai(inner, says("Hello."), says("It said hello.")) as server:
            async with agents(openai_base_url=server.url) as made:
                given = {"model": "local:fake-1", "prompt": "Hi.", "tools": ["agent"], "apiKey": KEY}
                run_id = await made.submit(node("a", tool="agent", input=given, retry=ONCE))
                run = await made.finished(run_id)
                log = await made.log(run_id)

            assert (await output_of(made, run))["output"] == "It said hello."
            assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
            assert KEY not in encode_events(log[1:]).decode()

    asyncio.run(scene())


def test_what_a_model_calls_wrongly_over_the_wire_it_may_correct() -> None:
    wrong = calls_tools(("x", "math_divide", "{}"), ("y", "math_add", '{"a": "one"}'), ("z", "math_add", '{"a": 1'))
    right = calls_tools(("x", "math_add", '{"a": 1, "b": 2}'))

    _, log, server, output = asyncio.run(ask(wrong, right, says("3"), tools=["math.*"]))

    assert output["output"] == "3"
    assert steps_started(log) == ["model-1", "model-2", "call_x-2", "model-3"]
    told = [message["content"] for message in server.asked[1]["messages"] if message["role"] == "tool"]
    assert "Unknown tool name: 'math_divide'" in told[0]
    assert "Expected integer" in told[1]
    assert "Invalid JSON" in told[2]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("finish", "type_"), [("length", "ModelOutputTruncated"), ("content_filter", "ModelContentFiltered")]
)
def test_an_answer_that_was_cut_or_filtered_away_is_no_answer(finish: str, type_: str, stream: bool) -> None:
    run, _, server, _ = asyncio.run(ask(says("", finish=finish), stream=stream))

    error = node_of(run, "a").error
    assert error is not None
    assert (error.type, error.retryable) == (type_, False)
    assert len(server.asked) == 1


def test_an_answer_that_was_cut_off_is_taken_and_that_is_said() -> None:
    _, log, _, output = asyncio.run(ask(says("Once upon a", finish="length")))

    assert output["output"] == "Once upon a"
    assert [event.message for event in log if isinstance(event, NodeLog)] == [
        "The answer was cut off: the model may not write more tokens."
    ]


@pytest.mark.parametrize("body", ["{nonsense", "[]", '{"choices": []}', '{"choices": 7}'])
def test_an_answer_that_is_garbage_is_tried_again(body: str) -> None:
    run, log, _, output = asyncio.run(ask(answers(200, body, "application/json"), says("At last."), stream=False))

    assert node_of(run, "a").error is None
    assert output["output"] == "At last."
    assert [event.error.type for event in failures(log)] == ["InvalidModelResponse"]


def test_a_stream_of_nothing_that_never_ends_is_ended_by_the_timeout_of_its_step() -> None:
    _, log, _, output = asyncio.run(ask(never_ends(""), says("Done."), timeout=0.5))

    assert output["output"] == "Done."
    assert [event.error.type for event in failures(log)] == ["AttemptTimeout"]


def test_a_server_that_is_not_there_is_tried_again_and_then_given_up() -> None:
    async def scene() -> WorkflowRun:
        async with agents(openai_base_url="http://127.0.0.1:9/v1") as made:
            given = {"model": "local:fake-1", "prompt": "Hi.", "retry": SOON}
            return await made.perform(node("a", tool="agent", input=given, retry=ONCE))

    run = asyncio.run(scene())

    error = node_of(run, "a").error
    assert error is not None
    assert error.type == "ModelConnectionError"
    (step,) = node_of(run, "a").steps
    assert step.attempt == 3


OVERLOADED: Final = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def test_the_other_provider_that_is_installed_works_and_fails_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> tuple[Json, Sequence[RunEvent], FakeOpenAI]:
        troubles = (refuses(529, "Overloaded."), streams_events(OVERLOADED))
        async with fake_openai(*troubles, says_as_anthropic("Hello.")) as server:
            monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
            async with agents(add) as made:
                given = {"model": "anthropic:claude-fake", "prompt": "Hi.", "retry": SOON, "apiKey": KEY}
                run_id = await made.submit(node("a", tool="agent", input={**given, "tools": ["math.*"]}, retry=ONCE))
                run = await made.finished(run_id)
                return await output_of(made, run), await made.log(run_id), server

    output, log, server = asyncio.run(scene())

    assert output["output"] == "Hello."
    assert output["usage"] == {"requests": 1, "inputTokens": 7, "outputTokens": 3, "costUsd": None}
    assert [event.error.type for event in failures(log)] == ["ModelUnavailable", "ModelUnavailable"]
    assert text_of_attempt(log, 1) == "Hello."
    assert {headers["authorization"] for headers in server.headers} == {f"Bearer {KEY}"}
