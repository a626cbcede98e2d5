"""Secrets on their way to a tool, and that they go nowhere else."""

import asyncio
import io
import json
import logging
from pathlib import Path
from typing import Literal

import pytest

from gql_app.bootstrap import Application, application
from gql_app.core.codec import encode_events
from gql_app.core.errors import InvalidWorkflowError, ProblemCode, ToolError
from gql_app.core.events import RetryState
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.run import RunStatus, WorkflowRun
from gql_app.core.values import Json
from gql_app.settings import LogFormat, Settings
from gql_app.telemetry.logs import logged
from gql_app.tools.decorator import tool
from tests.support.documents import document

pytestmark = pytest.mark.anyio
VALUE = "s3cr3t/välue-42"
OTHER = Namespace("other")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_SECRET_TOKEN", VALUE)


def call(name: str, **input: Json) -> Json:
    return {"id": "a", "tool": name, "input": input, "retry": {"maximumAttempts": 1}}


async def finish(opened: Application, run_id: RunId) -> WorkflowRun:
    async for _ in opened.service.watch(DEFAULT_NAMESPACE, run_id, after=0):
        pass
    return await opened.service.get(DEFAULT_NAMESPACE, run_id)


async def perform(opened: Application, *nodes: Json, **fields: Json) -> WorkflowRun:
    run = await opened.service.submit(DEFAULT_NAMESPACE, document(*nodes), **fields)
    return await finish(opened, run.run_id)


async def log_of(opened: Application, run: WorkflowRun) -> str:
    return encode_events(await opened.service.events(DEFAULT_NAMESPACE, run.run_id, limit=1_000)).decode()


async def test_a_tool_gets_the_secret_and_nobody_else_sees_it() -> None:
    got: list[str] = []

    @tool
    async def take(header: str) -> Json:
        """Take a header."""
        got.append(header)
        return {"echo": [header], header: len(header)}

    async with application(Settings(), tools=[take]) as opened:
        run = await perform(opened, call("take", header="Bearer ${ secrets.TOKEN }"))
        log = await log_of(opened, run)
        shown = await opened.service.node_input(run, run.nodes[0])
        output = await opened.service.value(run, run.nodes[0].output)

    assert got == [f"Bearer {VALUE}"]
    assert output == {"echo": ["Bearer [secret TOKEN]"], "Bearer [secret TOKEN]": 22}
    assert shown == {"header": "Bearer ${ secrets.TOKEN }"}
    assert "s3cr3t" not in log
    assert "s3cr3t" not in run.plan.__repr__()


async def test_an_output_that_is_stored_beside_the_log_holds_no_secret_either() -> None:
    async with application(Settings()) as opened:
        run = await perform(opened, call("echo", value=["${ secrets.TOKEN }"] * 1_000))
        output = await opened.service.value(run, run.nodes[0].output)

    assert run.nodes[0].output.sha256 is not None
    assert output == ["[secret TOKEN]"] * 1_000


async def test_what_a_run_is_handed_is_not_taken_for_a_placeholder() -> None:
    async with application(Settings()) as opened:
        run = await perform(opened, call("echo", value="${ input.text }"), input={"text": "${ secrets.TOKEN }"})
        output = await opened.service.value(run, run.output)

    assert output == {"a": "${ secrets.TOKEN }"}


async def test_the_errors_of_a_tool_show_no_secret() -> None:
    @tool
    async def complain(header: str) -> None:
        """Fail."""
        raise ToolError(f"401 for {header!r}", type=f"Refused {header}")

    async with application(Settings(), tools=[complain]) as opened:
        run = await perform(opened, call("complain", header="${ secrets.TOKEN }"))
        log = await log_of(opened, run)

    assert run.error is not None
    assert (run.error.type, run.error.message) == ("Refused [secret TOKEN]", "401 for '[secret TOKEN]'")
    assert "s3cr3t" not in log


@pytest.mark.parametrize("isolation", ["async", "thread"])
async def test_an_input_that_does_not_fit_is_told_without_its_secret(isolation: str) -> None:
    if isolation == "async":

        @tool(name="choose")
        async def choose(mode: Literal["fast", "slow"]) -> None:
            """Choose."""
    else:

        @tool(name="choose")
        def choose(mode: Literal["fast", "slow"]) -> None:
            """Choose."""

    async with application(Settings(), tools=[choose]) as opened:
        run = await perform(opened, call("choose", mode="${ secrets.TOKEN }"))

    assert run.error is not None
    assert run.error.type == "InvalidInput"
    assert "[secret TOKEN]" in run.error.message
    assert "s3cr3t" not in run.error.message


@pytest.mark.parametrize("log_format", [LogFormat.JSON, LogFormat.CONSOLE])
async def test_the_log_shows_no_secret(log_format: LogFormat) -> None:
    stream = io.StringIO()
    logger = logging.getLogger("tests.secrets")

    @tool
    async def talk(header: str) -> None:
        """Log what should not be logged."""
        try:
            raise ValueError(header)
        except ValueError:
            logger.exception("It was %s.", header, extra={"header": json.dumps(header)})

    with logged(Settings(log_format=log_format), stream):
        async with application(Settings(), tools=[talk]) as opened:
            await perform(opened, call("talk", header="${ secrets.TOKEN }"))

    assert "It was [secret TOKEN]." in stream.getvalue()
    assert "s3cr3t" not in stream.getvalue()
    assert "ValueError: [secret TOKEN]" in stream.getvalue()


async def test_a_secret_of_another_namespace_is_as_unknown_as_one_that_is_not_there() -> None:
    async with application(Settings()) as opened:
        told = []
        for name in ("TOKEN", "NOTHING"):
            what = document(call("echo", value=f"${{ secrets.{name} }}"))
            with pytest.raises(InvalidWorkflowError) as raised:
                await opened.service.submit(OTHER, what)
            problem = raised.value.problems[0]
            told.append((problem.code, problem.message.replace(name, "X"), problem.hint))
        await opened.service.validate(DEFAULT_NAMESPACE, document(call("echo", value="${ secrets.TOKEN }")))

    assert told[0] == told[1]
    assert told[0][0] is ProblemCode.UNKNOWN_SECRET


async def test_a_secret_that_has_gone_since_fails_the_node_for_good_and_one_that_changed_is_the_new_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "secrets.json"
    gate = asyncio.Event()

    def write(**values: str) -> None:
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps({name: {"value": value, "namespaces": ["*"]} for name, value in values.items()}))
        new.replace(path)

    @tool
    async def wait() -> None:
        """Wait."""
        await gate.wait()

    @tool
    async def measure(text: str) -> int:
        """Measure a text."""
        return len(text)

    write(OLD="abc", LENGTH="abc")
    async with application(Settings(secrets_file=str(path)), tools=[wait, measure]) as opened:
        submitted = await opened.service.submit(
            DEFAULT_NAMESPACE,
            document(
                {"id": "wait", "tool": "wait"},
                {
                    **call("measure", text="${ secrets.OLD }"),
                    "id": "old",
                    "dependsOn": ["wait"],
                    "continueOnFailure": True,
                },
                {
                    **call("measure", text="${ secrets.LENGTH }"),
                    "id": "length",
                    "dependsOn": ["wait"],
                },
                output={"length": "${ nodes.length.output }"},
            ),
        )
        write(LENGTH="abcdef")
        gate.set()
        run = await finish(opened, submitted.run_id)
        length = await opened.service.value(run, run.nodes[2].output)
        with pytest.raises(InvalidWorkflowError, match="There is no secret"):
            await opened.service.retry(DEFAULT_NAMESPACE, run.run_id)

    assert run.status is RunStatus.COMPLETED
    assert run.nodes[1].error is not None
    assert run.nodes[1].error.type == "SecretUnavailable"
    assert run.nodes[1].retry_state is RetryState.NON_RETRYABLE_ERROR
    assert length == 6


async def test_the_same_document_has_the_same_fingerprint_whatever_its_secrets_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    what = document(call("echo", value="${ secrets.TOKEN }"))

    prints = []
    for value in ("one", "another"):
        monkeypatch.setenv("GQL_APP_SECRET_TOKEN", value)
        async with application(Settings()) as opened:
            prints.append((await opened.service.validate(DEFAULT_NAMESPACE, what)).fingerprint)

    assert prints[0] == prints[1]
