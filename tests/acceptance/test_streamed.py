"""What attempts stream, seen live through a real server: every client's text equals the output."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gql_app.cli.main import main
from gql_app.client import RefusedError, RunNotFoundError, WorkflowClient
from gql_app.core.values import Json
from tests.support.cli import Finished, node, write_document
from tests.support.cli import gql_app as carried_out
from tests.support.documents import SUBMIT
from tests.support.requirements import REPOSITORY
from tests.support.server import ThreadServer, live_server
from tests.support.streaming_tools import TOOLS, told_text

QUICK = {"initialIntervalSeconds": 0.01}
STAMMER: Json = {
    "name": "stammering",
    "nodes": [
        {"id": "a", "tool": "stammer", "input": {"words": 60, "fails": 2}, "retry": QUICK},
        {"id": "b", "tool": "think", "input": {}, "retry": QUICK},
    ],
}
OUTPUT = """
subscription ($id: ID!, $after: Int, $only: [UpdateTopic!], $nodes: [ID!]) {
  workflowUpdates(id: $id, after: $after, only: $only, nodes: $nodes) {
    sequence
    events {
      __typename sequence
      ... on NodeEvent { nodeId }
      ... on NodeOutputChunk { text withinStep attempt }
      ... on StepEvent { stepId }
    }
  }
}
"""
GqlApp = Callable[..., Finished]


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with live_server(tools=TOOLS) as running:
        yield running


@pytest.mark.anyio
@pytest.mark.parametrize("only", [None, ["OUTPUT"]])
async def test_the_text_of_every_subscriber_is_the_output_whatever_failed_on_the_way(
    server: ThreadServer, only: list[str] | None
) -> None:
    async def follow(run_id: str, after: int | None) -> list[Json]:
        async with server.socket() as socket:
            variables = {"id": run_id, "after": after, "only": only}
            results = [each async for each in socket.results(OUTPUT, variables)]
        return [event for result in results for event in result["workflowUpdates"]["events"]]

    async with WorkflowClient(server.url) as client:
        run = await client.submit(STAMMER)
        told = await asyncio.gather(*(follow(run.id, 0) for _ in range(20)))
        output = (await client.get(run.id)).output

    for events in told:
        assert told_text(events, "a") == output["a"]
        assert told_text(events, "b") == output["b"] == "thought 2. Done."
    sequences = [event["sequence"] for event in told[0]]
    assert sequences == sorted(set(sequences))
    assert (sequences == list(range(1, len(sequences) + 1))) == (only is None)


@pytest.mark.anyio
async def test_who_comes_late_reads_what_was_streamed_so_far_and_goes_on_from_there(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        run = await client.submit(STAMMER)
        texts = []
        async for update in client.watch(run.id, after=0, only=["OUTPUT"], nodes=["a"]):
            so_far = await client.output_so_far(run.id, "a")
            texts.append((update.sequence, so_far))
        output = (await client.get(run.id)).output["a"]
        for _, so_far in texts[:: max(1, len(texts) // 8)]:
            text = so_far.text
            async for update in client.watch(run.id, after=so_far.sequence, only=["OUTPUT"], nodes=["a"]):
                for event in update.events:
                    if event.kind == "AttemptFailed":
                        text = ""
                    text += event.text
            assert text == output

    assert all(so_far.sequence >= sequence for sequence, so_far in texts)
    assert texts[-1][1].text == output


@pytest.mark.anyio
async def test_a_client_that_asks_for_what_is_not_there_is_told_so(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        run = await client.submit(STAMMER)

        with pytest.raises(RefusedError, match="no node 'z'"):
            await client.output_so_far(run.id, "z")
        with pytest.raises(RunNotFoundError):
            await client.output_so_far("nothing", "a")
        filters: list[Json] = [{"nodes": ["z"]}, {"only": []}]
        for asked in filters:
            with pytest.raises(RefusedError) as refused:
                await anext(client.watch(run.id, **asked))
            assert refused.value.code == "INVALID_ARGUMENT"


@pytest.fixture
def gql_app(
    server: ThreadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> GqlApp:
    """Carry out a command in this process, with the server's address in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GQL_APP_URL", server.url)

    def carry_out(*arguments: str) -> Finished:
        code = main(arguments)
        captured = capsys.readouterr()
        return Finished(int(code), captured.out, captured.err)

    return carry_out


def test_the_command_line_shows_text_as_it_was_streamed_and_what_became_void(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("b", "think", retry=QUICK), node("a", "stammer", retry=QUICK))

    run_id = gql_app("submit", document).out.strip()
    whole = gql_app("watch", run_id)
    only = gql_app("watch", run_id, "--only", "output", "--node", "a")

    assert "b                 asks test-model" in whole.lines
    assert "b                 INFO: almost done  left=1" in whole.lines
    assert 'b                 calls echo {"value": {"query": "graphql"}}' in whole.lines
    assert {line.split()[0] for line in only.lines} == {"a", "(test)"}
    assert [line for line in only.lines if "void" in line] != []
    assert only.out == whole.out


def test_a_run_that_is_shown_tells_its_steps_and_what_was_used(gql_app: GqlApp, tmp_path: Path) -> None:
    document = write_document(tmp_path, node("b", "think", retry=QUICK))
    run_id = gql_app("submit", document, "--watch").err.split()[1]

    shown = gql_app("show", run_id)
    assert shown.code == 0, shown.err
    told = gql_app("show", run_id, "--json").output

    lines = shown.out.splitlines()
    assert lines[1].endswith("1 request, 12 + 3 tokens, $0.2500")
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["model-1", "COMPLETED", "2/3"],
        ["call-1", "COMPLETED", "1/3"],
    ]
    assert lines[-1] == "used 1 request, 12 + 3 tokens, $0.2500"
    assert told["usage"]["inputTokens"] == 12
    assert [step["id"] for step in told["nodes"][0]["steps"]] == ["model-1", "call-1"]


@pytest.mark.parametrize("arguments", [["--only", "news"], ["--only", ""], ["--node"]])
def test_a_filter_that_is_none_is_a_bad_argument(gql_app: GqlApp, arguments: list[str]) -> None:
    refused = gql_app("watch", "1", *arguments)

    assert refused.code == 2
    assert f"argument {arguments[0]}:" in refused.err


def test_a_run_in_the_process_of_the_command_shows_the_same(tmp_path: Path) -> None:
    document = write_document(tmp_path, node("b", "think", retry=QUICK))
    arguments = ["run", document, "--tools", "tests.support.streaming_tools", "--only", "status,output"]

    ran = carried_out(*arguments, cwd=tmp_path, PYTHONPATH=str(REPOSITORY))

    lines = [line.partition("  ")[2].strip() for line in ran.lines]
    assert ran.output == {"b": "thought 2. Done."}
    assert [line for line in lines if "test-model" in line or "|" in line] == [
        "asks test-model",
        "| thought 1.",
        "test-model failed: Overloaded: overloaded; what it wrote is void; next try now",
        "asks test-model (try 2)",
        "| thought 2.",
        "test-model answered: 1 request, 12 + 3 tokens, $0.2500",
        "| Done.",
    ]
    assert not any("almost done" in line for line in lines)


def test_server_sent_events_of_what_is_asked_for_go_on_after_the_last_one_that_came(server: ThreadServer) -> None:
    run_id = server.execute(SUBMIT, spec=STAMMER)["submitWorkflow"]["workflow"]["id"]
    parameters = {"query": OUTPUT, "variables": json.dumps({"id": run_id, "after": 0, "only": ["OUTPUT"]})}
    headers = {"Accept": "text/event-stream"}

    with server.client() as client:
        whole = client.get("/graphql", params=parameters, headers=headers).text
        ids = re.findall(r"^id: (\d+)$", whole, re.MULTILINE)
        rest = client.get("/graphql", params=parameters, headers={**headers, "Last-Event-ID": ids[0]}).text
        over = client.get("/graphql", params=parameters, headers={**headers, "Last-Event-ID": ids[-1]}).text

    assert sequences(rest) == [number for number in sequences(whole) if number > int(ids[0])]
    assert {"NodeOutputChunk", "AttemptFailed", "WorkflowCompleted"} <= set(re.findall(r'"__typename":"(\w+)"', whole))
    assert "data: {" not in over


def sequences(text: str) -> list[int]:
    return [
        event["sequence"]
        for data in re.findall(r"^data: (\{.+\})", text, re.MULTILINE)
        for event in json.loads(data)["data"]["workflowUpdates"]["events"]
    ]
