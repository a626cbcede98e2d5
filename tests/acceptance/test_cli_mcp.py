"""`gql-app mcp`: an assistant runs workflows on a real server."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from jsonschema import Draft202012Validator
from mcp import Client
from mcp.shared.exceptions import MCPError

from gql_app.cli.assistant.server import make_server
from gql_app.client import WorkflowClient
from gql_app.core.access import Scope
from gql_app.core.published import workflow_json_schema
from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.assistant import Assistant, assistant
from tests.support.cutting_relay import cutting_relay
from tests.support.gate import Gate, gated
from tests.support.reserved_port import ReservedPort
from tests.support.server import LONGEST_WAIT, ThreadServer, live_server, server_process
from tests.support.streaming_tools import TOOLS, streaming
from tests.support.tokens import add_key

pytestmark = pytest.mark.anyio

NAMES = [
    "validate_workflow",
    "submit_workflow",
    "watch_workflow",
    "get_workflow",
    "get_node",
    "list_workflows",
    "cancel_workflow",
    "retry_workflow",
    "list_tools",
]
HELLO: Json = {"name": "hello", "nodes": [{"id": "hi", "tool": "echo", "input": {"value": "${ input }"}}]}
HELLO_YAML = """
name: hello
nodes:
  - id: hi
    tool: echo
    input: {value: "${ input }"}
"""
BROKEN: Json = {
    "name": "broken",
    "nodes": [
        {"id": "a", "tool": "ecko"},
        {"id": "b", "tool": "delay", "input": {"seconds": "long"}, "dependsOn": ["c"]},
    ],
}
WAITS: Json = {"name": "waits", "nodes": [gated("wait"), {"id": "then", "tool": "echo", "dependsOn": ["wait"]}]}
HANGS: Json = {
    "name": "hangs",
    "nodes": [
        {"id": "wait", "tool": "fail", "input": {"mode": "hang"}},
        {"id": "then", "tool": "echo", "dependsOn": ["wait"]},
    ],
}
FAILS: Json = {
    "name": "fails",
    "nodes": [
        {"id": "good", "tool": "echo", "input": {"value": 1}},
        {
            "id": "bad",
            "tool": "fail",
            "dependsOn": ["good"],
            "input": {"times": 9, "type": "OutOfStock", "message": "no unicorns"},
            "retry": {"maximumAttempts": 2, "initialIntervalSeconds": 0.01},
        },
    ],
}


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def server(gate: Gate) -> Iterator[ThreadServer]:
    with live_server(tools=[gate.tool, *streaming(gate), *TOOLS]) as running:
        yield running
        gate.open()


async def started(helper: Assistant, document: Json, **more: Json) -> str:
    return str((await helper.ask("submit_workflow", document=document, **more))["workflow"]["id"])


async def ended(helper: Assistant, document: Json, **more: Json) -> Json:
    run_id = await started(helper, document, **more)
    return await helper.ask("watch_workflow", id=run_id, after=0, seconds=LONGEST_WAIT)


async def when_watched(helper: Assistant, act: Callable[[], None]) -> None:
    """Do something once there is progress of a watch that is under way."""
    await helper.progressed()
    act()


async def seen(helper: Assistant, run_id: str, shows: Callable[[str], bool]) -> Json:
    """Watch a run from its beginning, until what is told shows something."""
    while True:
        told = await helper.call("watch_workflow", id=run_id, after=0, seconds=1)
        if shows(told.text):
            return told.data


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_every_tool_is_offered_with_schemas_that_are_strict(
    server: ThreadServer, tmp_path: Path, mode: str
) -> None:
    async with assistant(server.url, tmp_path, mode=mode) as helper:
        offered = (await helper.client.list_tools()).tools
        instructions = helper.client.instructions

    assert [tool.name for tool in offered] == NAMES
    for tool in offered:
        Draft202012Validator.check_schema(tool.input_schema)
        Draft202012Validator.check_schema(tool.output_schema or {})
        assert tool.input_schema["additionalProperties"] is False
        assert tool.description
    assert sum(len(tool.model_dump_json()) for tool in offered) < 40_000
    assert {tool.name for tool in offered if tool.annotations and not tool.annotations.read_only_hint} == {
        "submit_workflow",
        "cancel_workflow",
        "retry_workflow",
    }
    assert "watch_workflow" in (instructions or "")


async def test_the_document_that_models_are_shown_is_valid(server: ThreadServer, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        [submit] = [tool for tool in (await helper.client.list_tools()).tools if tool.name == "submit_workflow"]
        text = submit.description or ""
        shown = text[text.index("{") : text.index("\n\nRequired")]
        checked = await helper.ask("validate_workflow", document=shown)

    assert checked["layers"] == ["page", "text"]


async def test_the_schema_of_the_document_can_be_read(server: ThreadServer, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        [resource] = (await helper.client.list_resources()).resources
        [content] = (await helper.client.read_resource(resource.uri)).contents
        with pytest.raises(MCPError, match=r"No resource .* there is gql-app"):
            await helper.client.read_resource("gql-app://schema/nothing.json")

    assert json.loads(content.model_dump()["text"]) == workflow_json_schema()


@pytest.mark.parametrize("document", [HELLO, HELLO_YAML, json.dumps(HELLO)], ids=["object", "YAML", "JSON"])
async def test_a_document_is_checked_run_watched_and_read(server: ThreadServer, tmp_path: Path, document: Json) -> None:
    async with assistant(server.url, tmp_path) as helper:
        checked = await helper.ask("validate_workflow", document=document, input=None)
        watched = await ended(helper, document, input={"who": "Ada"})
        read = await helper.ask("get_workflow", id=watched["workflow"]["id"])
        node = await helper.ask("get_node", id=watched["workflow"]["id"], node="hi", pointer="/who")

    assert checked == {"valid": True, "name": "hello", "nodes": 1, "layers": ["hi"]}
    assert (watched["ended"], watched["workflow"]["status"]) == (True, "COMPLETED")
    assert watched["output"] == {"value": {"hi": {"who": "Ada"}}}
    assert [line.partition("Z ")[2] for line in watched["events"]] == [
        "the run: submitted",
        "the run: started",
        "hi: attempt 1 started",
        "hi: completed (attempt 1)",
        "the run: completed",
    ]
    assert [(node["id"], node["status"]) for node in watched["changedNodes"]] == [("hi", "COMPLETED")]
    assert read["nodes"][0]["output"] == {"value": {"who": "Ada"}}
    assert node["node"]["output"] == {"value": "Ada"}
    assert node["input"] == {"value": {"value": {"who": "Ada"}}}
    assert [attempt["status"] for attempt in node["attempts"]] == ["COMPLETED"]


@pytest.mark.parametrize("tool", ["validate_workflow", "submit_workflow"])
async def test_an_invalid_document_is_answered_with_every_problem_and_its_place(
    server: ThreadServer, tmp_path: Path, tool: str
) -> None:
    async with assistant(server.url, tmp_path) as helper:
        told = await helper.call(tool, document=BROKEN)
        listed = await helper.ask("list_workflows")

    problems = told.data["failure"]["problems"]
    assert told.code == "INVALID_WORKFLOW"
    assert [(problem["code"], problem["pointer"]) for problem in problems] == [
        ("UNKNOWN_TOOL", "/nodes/0/tool"),
        ("INVALID_TOOL_INPUT", "/nodes/1/input/seconds"),
        ("UNKNOWN_NODE", "/nodes/1/dependsOn/0"),
    ]
    assert "Did you mean `echo`?" in told.text
    assert listed["workflows"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ({}, "INVALID_ARGUMENT", "missing required field `document`"),
        ({"document": 5}, "INVALID_ARGUMENT", "$.document"),
        ({"document": HELLO, "inputs": 1}, "INVALID_ARGUMENT", "`document`, `input`, `idempotencyKey`"),
        ({"document": "name: [\n"}, "INVALID_DOCUMENT", "document:2:"),
        ({"document": '{"name": "a",\n"name": "b"}'}, "INVALID_DOCUMENT", "stands twice"),
        ({"document": "a" * (1 << 20) + "a"}, "INVALID_DOCUMENT", "more than 1048576 characters"),
        ({"document": HELLO, "idempotencyKey": ""}, "INVALID_ARGUMENT", "$.idempotencyKey"),
        ({"document": {"name": "big", "nodes": [{"id": "a", "tool": "echo", "input": {"value": 2**70}}]}}, "", "64"),
    ],
)
async def test_arguments_that_cannot_be_used_are_told_with_those_there_are(
    server: ThreadServer, tmp_path: Path, arguments: Json, code: str, told: str
) -> None:
    async with assistant(server.url, tmp_path) as helper:
        answer = await helper.call("submit_workflow", **arguments)

    assert answer.code == (code or answer.code)
    assert told in answer.text


async def test_null_stands_for_an_argument_that_is_left_out(server: ThreadServer, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        watched = await ended(helper, HELLO, input=None, idempotencyKey=None)

    assert watched["output"] == {"value": {"hi": None}}


async def test_a_submission_that_is_sent_again_finds_its_run(server: ThreadServer, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        first = await started(helper, HELLO, input=1, idempotencyKey="monday")
        again = await started(helper, HELLO, input=1, idempotencyKey="monday")
        other = await helper.call("submit_workflow", document=HELLO, input=2, idempotencyKey="monday")

    assert again == first
    assert other.code == "IDEMPOTENCY_CONFLICT"
    assert other.data["failure"]["id"] == first


async def test_watching_tells_progress_and_goes_on_where_it_was(
    server: ThreadServer, gate: Gate, tmp_path: Path
) -> None:
    async with assistant(server.url, tmp_path) as helper:
        run_id = await started(helper, WAITS)
        first = await seen(helper, run_id, lambda told: "wait: attempt 1 started" in told)
        nothing = await helper.ask("watch_workflow", id=run_id, after=first["sequence"], seconds=1)
        gate.open()
        last = await helper.ask("watch_workflow", id=run_id, after=nothing["sequence"], seconds=LONGEST_WAIT)

    assert (first["ended"], first["workflow"]["status"]) == (False, "RUNNING")
    assert (nothing["ended"], nothing["sequence"]) == (False, first["sequence"])
    assert "events" not in nothing
    assert (last["ended"], last["workflow"]["status"]) == (True, "COMPLETED")
    sequences = [int(line.split()[0]) for line in (*first["events"], *last["events"])]
    assert sequences == list(range(1, last["sequence"] + 1))
    amounts = [amount for amount, _ in helper.progress]
    assert amounts == sorted(set(amounts))
    assert any("wait: attempt 1 started" in message for _, message in helper.progress)


async def test_text_progress_and_steps_are_told_by_where_they_have_come_to(
    server: ThreadServer, gate: Gate, tmp_path: Path
) -> None:
    talks = {"id": "talk", "tool": "speak.at.gate", "retry": {"initialIntervalSeconds": 0.01}, "dependsOn": ["think"]}
    document = {"name": "agents", "nodes": [{"id": "think", "tool": "think"}, talks]}

    async with assistant(server.url, tmp_path) as helper:
        run_id = await started(helper, document)
        watched = await seen(helper, run_id, lambda told: '"progress":"50 %' in told)
        talking = await helper.ask("get_node", id=run_id, node="talk")
        thinking = await helper.ask("get_node", id=run_id, node="think")
        gate.open()
        last = await helper.ask("watch_workflow", id=run_id, after=watched["sequence"], seconds=LONGEST_WAIT)

    think, talk = watched["changedNodes"]
    assert (talk["streamed"], talk["progress"]) == ("right so far", "50 %, half way")
    assert "streamed" not in think
    assert think["usage"] == "1 request, 12 + 3 tokens, $0.2500"
    assert any("half way" in message or "right so far" in message for _, message in helper.progress)
    assert not any("NodeOutputChunk" in line or "progress" in line for line in watched["events"])
    assert any("think: asks test-model" in line for line in watched["events"])
    assert any("think: INFO: almost done" in line for line in watched["events"])
    assert talking["outputSoFar"] == {"value": "right so far"}
    assert thinking["steps"] == [
        "model-1 COMPLETED: asks test-model; attempt 2 of 3; 1 request, 12 + 3 tokens, $0.2500",
        'call-1 COMPLETED: calls echo {"value": {"query": "graphql"}}',
    ]
    assert last["output"]["value"]["talk"] == "right so far"
    assert [("streamed" in node) for node in last["changedNodes"]] == [False]


async def test_without_a_sequence_only_what_happens_from_now_on_is_told(
    server: ThreadServer, gate: Gate, tmp_path: Path
) -> None:
    async with assistant(server.url, tmp_path) as helper:
        run_id = await started(helper, WAITS)
        before = await seen(helper, run_id, lambda told: "wait: attempt 1 started" in told)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(when_watched, helper, gate.open)
            watched = await helper.ask("watch_workflow", id=run_id, seconds=LONGEST_WAIT)

    assert int(watched["events"][0].split()[0]) == before["sequence"] + 1
    assert watched["ended"]


async def test_giving_up_on_a_watch_does_not_stop_the_run(server: ThreadServer, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        run_id = await started(helper, HANGS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(when_watched, helper, tasks.cancel_scope.cancel)
            await helper.call("watch_workflow", id=run_id, seconds=LONGEST_WAIT)
        read = await helper.ask("get_workflow", id=run_id)
        cancelled = await helper.ask("cancel_workflow", id=run_id, reason="enough")
        watched = await helper.ask("watch_workflow", id=run_id, after=0, seconds=LONGEST_WAIT)
        again = await helper.call("cancel_workflow", id=run_id)

    assert read["workflow"]["status"] == "RUNNING"
    assert [(node["status"], node.get("waitingOn")) for node in read["nodes"]] == [
        ("RUNNING", None),
        ("PENDING", "waits for wait"),
    ]
    assert cancelled["workflow"]["status"] in {"STOPPING", "CANCELLED"}
    assert watched["workflow"]["error"]["message"] == "enough"
    assert again.code == "WORKFLOW_ALREADY_FINISHED"
    assert again.data["failure"]["status"] == "CANCELLED"


async def test_a_failed_run_says_why_and_is_run_again_as_a_new_one(server: ThreadServer, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        watched = await ended(helper, FAILS)
        node = await helper.ask("get_node", id=watched["workflow"]["id"], node="bad")
        output = await helper.call("get_node", id=watched["workflow"]["id"], node="bad", pointer="/x")
        retried = await helper.ask("retry_workflow", id=watched["workflow"]["id"])
        again = await helper.ask("watch_workflow", id=retried["workflow"]["id"], after=0, seconds=LONGEST_WAIT)

    assert watched["workflow"]["status"] == "FAILED"
    assert watched["workflow"]["error"] == {"type": "OutOfStock", "message": "no unicorns", "nodeId": "bad"}
    assert node["node"]["retryState"] == "MAXIMUM_ATTEMPTS_REACHED"
    assert [attempt["error"]["type"] for attempt in node["attempts"]] == ["OutOfStock"] * 2
    assert output.code == "NO_OUTPUT"
    assert retried["workflow"]["retryOf"] == watched["workflow"]["id"]
    assert any("good: completed in the run before" in line for line in again["events"])


async def test_what_is_not_there_is_told_with_what_is(server: ThreadServer, gate: Gate, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        run_id = await started(helper, WAITS)
        tools = ("get_workflow", "watch_workflow", "cancel_workflow", "retry_workflow")
        unknown = [await helper.call(tool, id="nope") for tool in tools]
        unknown.append(await helper.call("get_node", id="nope", node="a"))
        node = await helper.call("get_node", id=run_id, node="hi")
        sequence = await helper.call("watch_workflow", id=run_id, after=99)
        early = await helper.call("retry_workflow", id=run_id)
        with pytest.raises(MCPError, match="there are validate_workflow"):
            await helper.client.call_tool("run_workflow", {})
        gate.open()

    assert [told.code for told in unknown] == ["WORKFLOW_NOT_FOUND"] * 5
    assert (node.code, "There are wait, then." in node.text) == ("NODE_NOT_FOUND", True)
    assert sequence.code == "INVALID_CURSOR"
    assert (early.code, "cancel_workflow" in early.text) == ("WORKFLOW_NOT_FINISHED", True)


async def test_big_outputs_are_cut_and_can_be_read_on(server: ThreadServer, tmp_path: Path) -> None:
    text = "".join(f"line {n}\n" for n in range(4_000))
    document = {
        "name": "big",
        "input": {"text": text, "rows": [{"n": n, "fill": "x" * 90} for n in range(500)]},
        "nodes": [{"id": "all", "tool": "echo", "input": {"value": "${ input }"}}],
        "output": "${ nodes.all.output }",
    }

    async with assistant(server.url, tmp_path) as helper:
        watched = await ended(helper, document)
        told = await helper.call("get_workflow", id=watched["workflow"]["id"])
        parts, offset = [], 0
        while offset is not None:
            part = await helper.ask(
                "get_node", id=watched["workflow"]["id"], node="all", pointer="/text", offset=offset
            )
            parts.append(part["node"]["output"]["value"])
            offset = part["node"]["output"].get("nextOffset")
        row = await helper.ask("get_workflow", id=watched["workflow"]["id"], pointer="/rows/499")
        nowhere = await helper.call("get_workflow", id=watched["workflow"]["id"], pointer="/rows/500")

    assert len(told.text) < 12_000
    assert {cut["pointer"] for cut in told.data["output"]["cut"]} >= {"/text", "/rows"}
    assert "`pointer`" in told.data["note"]
    assert "get_workflow" in watched["note"]
    assert "".join(parts) == text
    assert row["output"]["value"]["n"] == 499
    assert '"/rows" is a list of 500 items' in nowhere.text


async def test_a_big_run_is_told_in_little_room(server: ThreadServer, tmp_path: Path) -> None:
    nodes = [{"id": f"n{n}", "tool": "echo", "input": {"value": n}} for n in range(400)]
    bad = {"id": "bad", "tool": "fail", "input": {"times": 1}, "retry": {"maximumAttempts": 1}}

    async with assistant(server.url, tmp_path) as helper:
        watched = await helper.call("submit_workflow", document={"name": "wide", "nodes": [*nodes, bad]})
        run_id = watched.data["workflow"]["id"]
        watched = await helper.call("watch_workflow", id=run_id, after=0, seconds=LONGEST_WAIT)
        read = await helper.call("get_workflow", id=run_id)

    assert len(watched.text) < 20_000
    assert len(read.text) < 12_000
    assert "bad" in [node["id"] for node in read.data["nodes"]]
    assert len(read.data["nodes"]) + sum(read.data["nodesLeftOut"].values()) == 401
    assert watched.data["earlierEventsLeftOut"] + len(watched.data["events"]) == watched.data["sequence"]


async def test_many_long_errors_are_told_in_little_room(server: ThreadServer, tmp_path: Path) -> None:
    bad = {"tool": "fail", "retry": {"maximumAttempts": 1}, "continueOnFailure": True}
    message = "why? " * 190
    given = {"times": 1, "type": "T" * 60, "message": message}
    failing = [{"id": f"n{n}", "input": given, **bad} for n in range(60)]
    wrong = [{"id": f"n{n}", "tool": "echo", "input": {"value": f"${{ {'x' * 1_900} }}"}} for n in range(60)]

    async with assistant(server.url, tmp_path) as helper:
        run_id = await started(helper, {"name": "w" * 100, "nodes": failing})
        watched = await helper.call("watch_workflow", id=run_id, after=0, seconds=LONGEST_WAIT)
        read = await helper.call("get_workflow", id=run_id)
        node = await helper.ask("get_node", id=run_id, node="n7")
        refused = await helper.call("submit_workflow", document={"name": "wrong", "nodes": wrong})

    assert len(watched.text) < 40_000
    assert len(read.text) < 20_000
    assert node["attempts"][0]["error"]["message"] == message.strip()
    assert len(refused.text) < 15_000
    failure = refused.data["failure"]
    assert len(failure["problems"]) + failure["moreProblems"] == 60
    assert f"and {failure['moreProblems']} more problems" in refused.text


async def test_runs_are_listed_by_what_is_known_of_them(server: ThreadServer, tmp_path: Path) -> None:
    async with assistant(server.url, tmp_path) as helper:
        ids = [await started(helper, {**HELLO, "name": f"w{n % 2}", "labels": {"n": str(n)}}) for n in range(5)]
        for run_id in ids:
            await helper.ask("watch_workflow", id=run_id, after=0, seconds=LONGEST_WAIT)
        first = await helper.ask("list_workflows", first=3)
        rest = await helper.ask("list_workflows", first=3, after=first["nextAfter"])
        named = await helper.ask("list_workflows", name="w1", statuses=["COMPLETED"])
        labelled = await helper.ask("list_workflows", labels={"n": "4"})
        wrong = await helper.call("list_workflows", statuses=["DONE"])

    assert [run["id"] for run in (*first["workflows"], *rest["workflows"])] == ids[::-1]
    assert "nextAfter" not in rest
    assert [run["id"] for run in named["workflows"]] == [ids[3], ids[1]]
    assert [run["id"] for run in labelled["workflows"]] == [ids[4]]
    assert wrong.code == "INVALID_ARGUMENT"


async def test_tools_of_nodes_are_told_briefly_and_on_request_with_their_schemas(
    server: ThreadServer, tmp_path: Path
) -> None:
    async with assistant(server.url, tmp_path) as helper:
        everything = await helper.ask("list_tools")
        one = await helper.ask("list_tools", name="delay")
        some = await helper.ask("list_tools", name="*.t*")
        none = await helper.ask("list_tools", name="unicorn")

    by_name = {tool["name"]: tool for tool in everything["tools"]}
    assert by_name["delay"]["takes"] == "{seconds}"
    assert not any("inputSchema" in tool for tool in everything["tools"])
    assert one["tools"][0]["inputSchema"]["required"] == ["seconds"]
    assert {tool["name"] for tool in some["tools"]} == {"text.template", "value.transform"}
    assert none["tools"] == []
    assert "Leave `name` out" in none["note"]


async def test_the_service_may_go_and_come_back(tmp_path: Path) -> None:
    document = {
        "name": "patient",
        "nodes": [{"id": "a", "tool": "delay", "input": {"seconds": 2}, "retry": {"initialIntervalSeconds": 0.01}}],
    }
    with closing(ReservedPort()) as port:
        arguments = ("--port", str(port.number), "--store", f"sqlite:///{tmp_path}/runs.db")
        async with assistant(f"http://127.0.0.1:{port.number}", tmp_path) as helper:
            before = await helper.call("list_workflows")
            with server_process(*arguments, GQL_APP_SHUTDOWN_GRACE_SECONDS="0.1") as first:
                run_id = await started(helper, document)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(when_watched, helper, first.process.terminate)
                    parted = await helper.ask("watch_workflow", id=run_id, after=0, seconds=2)
            gone = await helper.call("get_workflow", id=run_id)
            unsent = await helper.call("submit_workflow", document=HELLO)
            with server_process(*arguments):
                watched = await helper.ask("watch_workflow", id=run_id, after=parted["sequence"], seconds=LONGEST_WAIT)

    assert (before.code, gone.code, unsent.code) == ("UNREACHABLE",) * 3
    assert "idempotencyKey 'assistant-" in unsent.text
    assert "gql-app serve" in before.text
    assert not parted["ended"]
    assert watched["workflow"]["status"] == "COMPLETED"
    lines = [line.partition("Z ")[2] for line in (*parted["events"], *watched["events"])]
    assert [int(line.split()[0]) for line in (*parted["events"], *watched["events"])] == list(
        range(1, watched["sequence"] + 1)
    )
    assert any("lost" in line for line in lines)


async def test_a_submission_whose_answer_is_lost_can_be_sent_again_without_a_second_run(
    server: ThreadServer, tmp_path: Path
) -> None:
    async with cutting_relay(server) as relay, assistant(relay.server.url, tmp_path) as helper:
        await helper.ask("list_tools")
        relay.bytes_left = 20
        unanswered = await helper.call("submit_workflow", document=HELLO)
        relay.bytes_left = None
        advised = re.search(r"idempotencyKey '(.+?)'", unanswered.data["failure"]["advice"])
        assert advised
        found = await started(helper, HELLO, idempotencyKey=advised[1])
        listed = await helper.ask("list_workflows")
        await helper.ask("watch_workflow", id=found, after=0, seconds=LONGEST_WAIT)
        relay.bytes_left = 20
        retried = await helper.call("retry_workflow", id=found, **{"from": "START"})
        relay.bytes_left = None
        after = await helper.ask("list_workflows")

    assert relay.cuts == 2
    assert (unanswered.code, retried.code) == ("UNREACHABLE", "UNREACHABLE")
    assert [run["id"] for run in listed["workflows"]] == [found]
    assert "list_workflows" in retried.text
    assert [run.get("retryOf") for run in after["workflows"]] == [found, None]


async def test_calls_under_way_are_bounded_and_those_given_up_make_room(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client, Client(make_server(client, calls_at_once=1)) as helper:
        run = await client.submit(WAITS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(helper.call_tool, "watch_workflow", {"id": run.id, "after": 0})
            await anyio.wait_all_tasks_blocked()
            refused = await helper.call_tool("get_workflow", {"id": run.id})
            tasks.cancel_scope.cancel()
        read = await helper.call_tool("get_workflow", {"id": run.id})

    assert refused.structured_content["failure"]["code"] == "TOO_MANY_CALLS"
    assert not read.is_error


async def test_who_may_not_do_it_is_told_what_would_help(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    reader = add_key(keys, "reader", scopes=(Scope.READ,))
    with live_server(Settings(keys_file=str(keys), shutdown_grace_seconds=0)) as server:
        async with assistant(server.url, tmp_path) as helper:
            nobody = await helper.call("list_tools")
            watching = await helper.call("watch_workflow", id="nope")
        async with assistant(server.url, tmp_path, GQL_APP_TOKEN=reader) as helper:
            await helper.ask("list_tools")
            forbidden = await helper.call("submit_workflow", document=HELLO)

    assert (nobody.code, watching.code, forbidden.code) == ("UNAUTHENTICATED", "UNAUTHENTICATED", "FORBIDDEN")
    assert "GQL_APP_TOKEN" in nobody.text
    assert reader not in forbidden.text


async def test_a_workflow_can_run_workflows_as_an_assistant_does(tmp_path: Path) -> None:
    # Its expressions are not for the run that hands it over.
    inner = json.loads(json.dumps(HELLO).replace("${", "$${"))
    document = {
        "name": "outer",
        "nodes": [
            {"id": "start", "tool": "mcp.flows.submit_workflow", "input": {"document": inner, "input": {"who": "Ada"}}},
            {
                "id": "wait",
                "tool": "mcp.flows.watch_workflow",
                "input": {"id": "${ nodes.start.output.workflow.id }", "seconds": LONGEST_WAIT},
            },
            {
                "id": "broken",
                "tool": "mcp.flows.submit_workflow",
                "input": {"document": BROKEN},
                "retry": {"maximumAttempts": 1},
                "continueOnFailure": True,
            },
        ],
        "output": {"hello": "${ nodes.wait.output.output.value }", "error": "${ nodes.broken.error.message }"},
    }
    with closing(ReservedPort()) as port:
        url = f"http://127.0.0.1:{port.number}"
        flows = {
            "command": sys.executable,
            "arguments": ["-m", "gql_app", "mcp", "--url", url],
            **environment_of_path(),
        }
        arguments = ("--port", str(port.number))
        with server_process(*arguments, GQL_APP_MCP_SERVERS=json.dumps({"flows": flows})):
            async with assistant(url, tmp_path) as helper:
                watched = await ended(helper, document)

    assert watched["workflow"]["status"] == "COMPLETED"
    assert watched["output"]["value"]["hello"] == {"hi": {"who": "Ada"}}
    assert "INVALID_WORKFLOW: The workflow is invalid: 3 problems." in watched["output"]["value"]["error"]


def environment_of_path() -> Json:
    """Tell a program where our modules are, if that is said at all."""
    return {"environment": {"PYTHONPATH": os.environ["PYTHONPATH"]}} if "PYTHONPATH" in os.environ else {}
