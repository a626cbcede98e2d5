"""What the log says: of runs, of what tools log, and of whatever has a secret in it."""

import asyncio
import io
import json
import logging
import threading
from collections.abc import Callable

import pytest

from gql_app.bootstrap import application
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.settings import LogFormat, LogLevel, Settings
from gql_app.telemetry.context import add_log_fields, set_log_fields
from gql_app.telemetry.logs import logged, redacted
from gql_app.tools.decorator import tool

pytestmark = pytest.mark.anyio

log = logging.getLogger("my.tools")


@tool
async def talk(secret: str = "") -> str:
    """Log from the event loop, and return what came in."""
    log.warning("from the loop")
    return secret


@tool
def talk_in_thread() -> None:
    """Log from a thread, and from one that it starts itself."""
    log.warning("from %s", threading.current_thread().name)


async def lines_of(*nodes: Json, tools: list[Tool], **fields: Json) -> tuple[RunId, list[Json]]:
    """Run a document to its end with the log written as JSON, and read the log."""
    stream = io.StringIO()
    settings = Settings(log_level=LogLevel.INFO, log_format=LogFormat.JSON)
    with logged(settings, stream):
        async with application(settings, tools=tools) as opened:
            document = {"name": "chatty", "nodes": list(nodes), **fields}
            run = await opened.service.submit(DEFAULT_NAMESPACE, document)
            async for _ in opened.service.watch(DEFAULT_NAMESPACE, run.run_id):
                pass
    return run.run_id, [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_run_is_logged_when_it_is_submitted_and_when_it_has_ended() -> None:
    run_id, lines = await lines_of({"id": "a", "tool": "talk"}, tools=[talk])

    [submitted] = [line for line in lines if "submitted" in line["message"]]
    [ended] = [line for line in lines if "ended" in line["message"]]
    assert submitted["level"] == ended["level"] == "INFO"
    assert submitted["logger"] == ended["logger"] == "gql_app.runs"
    assert (submitted["run_id"], submitted["workflow"]) == (run_id, "chatty")
    assert (ended["run_id"], ended["namespace"], ended["outcome"]) == (run_id, "default", "COMPLETED")
    assert isinstance(ended["seconds"], float)
    assert ended["timestamp"].endswith("Z")


@pytest.mark.parametrize(("chatty", "message"), [(talk, "from the loop"), (talk_in_thread, "from gql_app tool")])
async def test_what_a_tool_logs_says_of_which_attempt_it_is(chatty: Tool, message: str) -> None:
    run_id, lines = await lines_of({"id": "a", "tool": chatty.definition.name}, tools=[chatty])

    [line] = [line for line in lines if line["logger"] == "my.tools"]
    assert line["message"] == message
    assert (line["run_id"], line["namespace"], line["node_id"], line["attempt"]) == (run_id, "default", "a", 1)


async def test_a_run_does_not_carry_what_its_submitter_was_about() -> None:
    add_log_fields({"request_id": "r1"})

    try:
        _, lines = await lines_of({"id": "a", "tool": "talk"}, tools=[talk])
    finally:
        set_log_fields({})

    assert ["request_id" in line for line in lines] == ["submitted" in line["message"] for line in lines]


async def test_nothing_that_goes_in_or_out_of_a_run_is_logged() -> None:
    _, lines = await lines_of(
        {"id": "a", "tool": "talk", "input": {"secret": "hunter2"}}, tools=[talk], input={"also": "hunter2"}
    )

    assert len(lines) == 3
    assert "hunter2" not in json.dumps(lines)


def written(record: Callable[[], None], **settings: Json) -> str:
    """Log something and tell what was written."""
    stream = io.StringIO()
    with logged(Settings(**settings), stream):
        record()
    return stream.getvalue()


async def test_a_failure_is_one_line_of_json_with_its_traceback() -> None:
    def record() -> None:
        try:
            raise ValueError("over\ntwo lines")
        except ValueError:
            log.exception("It broke.", extra={"part": 7, "level": "mine"})

    [line] = written(record, log_format="json").splitlines()

    told = json.loads(line)
    assert (told["message"], told["level"], told["part"]) == ("It broke.", "ERROR", 7)
    assert told["exception"].startswith("Traceback")
    assert told["exception"].endswith("two lines")


async def test_on_a_terminal_lines_are_for_readers() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with logged(Settings(), stream):
        log.warning("Look at %s.", "this", extra={"part": 7})
        log.info("not this")

    [line] = stream.getvalue().splitlines()
    assert line.endswith(" WARNING my.tools: Look at this. part=7")


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_value_cannot_pass_for_a_line_of_its_own(form: str) -> None:
    text = written(lambda: log.warning("x", extra={"workflow": "a\n2026-01-01 ERROR forged"}), log_format=form)

    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("form", ["json", "console"])
async def test_what_is_secret_is_taken_out_of_messages_fields_and_tracebacks(form: str) -> None:
    def record() -> None:
        try:
            raise ValueError("hunter2")
        except ValueError:
            log.exception("It is %s.", "hunter2", extra={"part": "hunter2"})

    with redacted(lambda text: text.replace("hunter2", "***")):
        text = written(record, log_format=form)

    assert "hunter2" not in text
    assert text.count("***") >= 3
    assert "hunter2" in written(record, log_format=form)


async def test_after_its_block_the_log_is_as_it_was() -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level

    written(lambda: None, log_level="debug")

    assert (list(root.handlers), root.level) == before


async def test_libraries_that_would_log_inputs_are_not_heard() -> None:
    def record() -> None:
        logging.getLogger("httpx").info("HTTP Request: GET http://example.com/?token=hunter2")
        logging.getLogger("websockets.server").debug("< TEXT hunter2")

    assert written(record, log_level="debug") == ""


async def test_the_lines_of_tasks_do_not_mix() -> None:
    stream = io.StringIO()

    async def work(number: int) -> None:
        set_log_fields({"number": number})
        await asyncio.sleep(0)
        log.warning("x")

    with logged(Settings(log_format=LogFormat.JSON), stream):
        await asyncio.gather(*(work(i) for i in range(5)))

    assert sorted(json.loads(line)["number"] for line in stream.getvalue().splitlines()) == [0, 1, 2, 3, 4]
