"""The client against real servers."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from subprocess import PIPE

import pytest

from gql_app.client import (
    Backoff,
    ConnectionFailedError,
    InvalidDocumentError,
    KeyConflictError,
    NotAllowedError,
    NotAServerError,
    RefusedError,
    RunFinishedError,
    RunNotFinishedError,
    RunNotFoundError,
    ServerOverloadedError,
    WorkflowClient,
)
from gql_app.core.access import Scope
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.web.auth.key_writer import change_keys
from tests.support.relay import relay
from tests.support.server import ThreadServer, live_server
from tests.support.tokens import add_key

pytestmark = pytest.mark.anyio

IMPATIENT = Backoff(initial_seconds=0.001, maximum_seconds=0.001, maximum_attempts=5)
HELLO: Json = {"name": "hello", "nodes": [{"id": "a", "tool": "echo", "input": {"value": "hi"}}]}
WAITS: Json = {"name": "waits", "nodes": [{"id": "a", "tool": "fail", "input": {"mode": "hang"}}]}


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with live_server() as running:
        yield running


def wide(nodes: int) -> Json:
    """Write a document of which the log does not fit into one update."""
    return {"name": "wide", "nodes": [{"id": f"n{n}", "tool": "echo"} for n in range(nodes)], "output": 1}


async def test_a_run_is_submitted_watched_and_read(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        submitted = await client.submit(HELLO, input={"x": 1})
        updates = [update async for update in client.watch(submitted.id, after=0)]
        run = await client.get(submitted.id)

    events = [event for update in updates for event in update.events]
    assert [event.sequence for event in events] == list(range(1, run.sequence + 1))
    assert events[0].kind == "WorkflowSubmitted"
    assert updates[-1].workflow.finished
    assert (run.status, run.output, run.name) == ("COMPLETED", {"a": "hi"}, "hello")
    assert [(node.id, node.status, node.attempt) for node in run.nodes] == [("a", "COMPLETED", 1)]


async def test_nothing_is_missed_or_told_twice_when_every_connection_breaks(server: ThreadServer) -> None:
    lost: list[str] = []

    async with WorkflowClient(server.url) as client:
        run = await client.submit(wide(900))
        whole = [event async for update in client.watch(run.id, after=0) for event in update.events]
        async with relay(server.ws_url, results=1) as between:
            cut = WorkflowClient(between.url, backoff=IMPATIENT)
            updates = cut.watch(run.id, after=0, lost=lambda reason, _: lost.append(reason))
            seen = [event async for update in updates for event in update.events]
            await cut.close()

    assert seen == whole
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert len(lost) == between.connections - 1
    assert len(lost) >= 2


async def test_a_watcher_that_comes_back_in_vain_gives_up(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        run = await client.submit(wide(900))
        async with relay(server.ws_url, results=1, accepting=1) as between:
            cut = WorkflowClient(between.url, backoff=IMPATIENT)
            with pytest.raises(ConnectionFailedError, match="5 attempts to come back failed"):
                async for _ in cut.watch(run.id, after=0):
                    pass
            await cut.close()

    assert between.connections == 6


async def test_without_a_sequence_the_state_now_comes_first(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        run = await client.submit(WAITS)
        updates = client.watch(run.id)
        first = await anext(updates)
        await client.cancel(run.id, "enough")
        rest = [event async for update in updates for event in update.events]

    assert first.events == ()
    assert rest[0].sequence == first.sequence + 1
    assert rest[-1].kind == "WorkflowCancelled"


async def test_the_end_of_a_run_that_is_known_is_told_again_by_nobody(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        run = await client.submit(HELLO)
        last = [update async for update in client.watch(run.id)][-1]

        again = [update async for update in client.watch(run.id, after=last.sequence)]

    assert again == []


async def test_every_refusal_has_its_type(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        finished = await client.submit(HELLO, idempotency_key="refusals")
        _ = [update async for update in client.watch(finished.id)]
        going_on = await client.submit(WAITS)

        with pytest.raises(KeyConflictError) as conflict:
            await client.submit(WAITS, idempotency_key="refusals")
        with pytest.raises(RunFinishedError):
            await client.cancel(finished.id)
        with pytest.raises(RunNotFinishedError):
            await client.retry(going_on.id)
        with pytest.raises(RunNotFoundError):
            await client.get("nope")
        with pytest.raises(RunNotFoundError):
            await client.cancel("nope")
        with pytest.raises(RunNotFoundError):
            await anext(client.watch("nope"))
        with pytest.raises(RefusedError) as cursor:
            await anext(client.watch(finished.id, after=999))
        with pytest.raises(RefusedError) as page:
            await client.list(first=101)
        await client.cancel(going_on.id)

    assert conflict.value.run.id == finished.id
    assert (cursor.value.code, page.value.code) == ("INVALID_CURSOR", "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        ({"name": "x", "nodes": [{"id": "a", "tool": "nope"}]}, [("UNKNOWN_TOOL", "/nodes/0/tool")]),
        ({"name": "x", "nodes": [{"id": 1}]}, [("INVALID_FIELD", "/nodes/0/id"), ("INVALID_FIELD", "/nodes/0/tool")]),
        ([], [("INVALID_FIELD", "")]),
    ],
)
async def test_an_invalid_document_is_refused_with_every_problem(
    server: ThreadServer, document: Json, problems: list[tuple[str, str]]
) -> None:
    async with WorkflowClient(server.url) as client:
        with pytest.raises(InvalidDocumentError) as at_submit:
            await client.submit(document)
        with pytest.raises(InvalidDocumentError) as at_validate:
            await client.validate(document)

    assert [(problem.code, problem.pointer) for problem in at_submit.value.problems] == problems
    assert at_validate.value.problems == at_submit.value.problems


async def test_a_document_that_can_work_is_planned(server: ThreadServer) -> None:
    nodes = [{"id": "b", "tool": "echo", "dependsOn": ["a"]}, {"id": "a", "tool": "echo"}]

    async with WorkflowClient(server.url) as client:
        plan = await client.validate({"name": "x", "nodes": nodes})
        tools = await client.tools()

    assert plan.layers == (("a",), ("b",))
    assert "echo" in {tool.name for tool in tools}


async def test_a_document_that_is_too_big_is_refused(server: ThreadServer) -> None:
    async with WorkflowClient(server.url) as client:
        with pytest.raises(RefusedError) as refused:
            await client.submit({**HELLO, "input": "x" * (2 << 20)})

    assert refused.value.code == "REQUEST_TOO_LARGE"


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://h?q=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the URL of a server"):
        WorkflowClient(url)


async def test_the_address_of_graphql_will_do(server: ThreadServer) -> None:
    async with WorkflowClient(f"{server.url}/graphql/".rstrip("/")) as client:
        assert client.url == server.url
        assert await client.tools()


async def test_nobody_there_is_told_at_once() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async with WorkflowClient(url) as client:
        with pytest.raises(ConnectionFailedError, match="Is the server running"):
            await client.tools()
        with pytest.raises(ConnectionFailedError, match="Is the server running"):
            await anext(client.watch("id"))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnull",
        b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"data":{"":0}}'[:-2],
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
async def test_who_is_not_this_service_is_told_so(answer: bytes) -> None:
    async with answering(answer) as url, WorkflowClient(url) as client:
        with pytest.raises((NotAServerError, ConnectionFailedError)) as asked:
            await client.tools()
        with pytest.raises(NotAServerError):
            await anext(client.watch("id"))

    assert isinstance(asked.value, ConnectionFailedError) == answer.startswith(b"SSH")


def answer_of(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Write an HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Answer every request with the same."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as other:
        yield f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (
            answer_of(
                "401 Unauthorized", b'{"errors": [{"message": "Who?", "extensions": {"code": "UNAUTHENTICATED"}}]}'
            ),
            NotAllowedError,
            "UNAUTHENTICATED",
        ),
        (answer_of("401 Unauthorized"), NotAllowedError, "UNAUTHENTICATED"),
        (
            answer_of("200 OK", b'{"errors": [{"message": "No.", "extensions": {"code": "FORBIDDEN"}}]}'),
            NotAllowedError,
            "FORBIDDEN",
        ),
        (answer_of("429 Too Many Requests", b"", "Retry-After: 7"), ServerOverloadedError, "OVERLOADED"),
        (answer_of("503 Service Unavailable", b"no", "Retry-After: 7"), ServerOverloadedError, "OVERLOADED"),
    ],
    ids=["401 with errors", "401", "forbidden", "429", "503"],
)
async def test_a_refusal_of_who_asks_or_how_often_has_its_type(
    answer: bytes, error: type[RefusedError], code: str
) -> None:
    async with answering(answer) as url, WorkflowClient(url, token="t") as client:
        with pytest.raises(error) as refused:
            await client.tools()

    assert refused.value.code == code
    if isinstance(refused.value, ServerOverloadedError):
        assert refused.value.retry_after_seconds == 7


@pytest.mark.parametrize("token", ["", "a b", "line\nbreak", "schlüssel"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(ValueError, match="The token is empty, or has characters that no token has") as refused:
        WorkflowClient(token=token)

    assert token == "" or token not in str(refused.value)


async def test_a_token_lets_in_for_what_it_allows_as_long_as_it_holds(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    token, reader = add_key(keys), add_key(keys, "reader", scopes=(Scope.READ,))
    with live_server(Settings(shutdown_grace_seconds=0, keys_file=str(keys))) as server:
        async with (
            WorkflowClient(server.url) as nobody,
            WorkflowClient(server.url, token=reader) as looking,
            WorkflowClient(server.url, token=token, backoff=IMPATIENT) as client,
        ):
            with pytest.raises(NotAllowedError) as unknown:
                await nobody.list()
            with pytest.raises(NotAllowedError):
                await anext(nobody.watch("id"))
            with pytest.raises(NotAllowedError) as forbidden:
                await looking.submit(WAITS)
            updates = client.watch((await client.submit(WAITS)).id)
            first = await anext(updates)
            change_keys(keys, lambda _: [])
            with pytest.raises(NotAllowedError, match="The API key has been revoked"):
                _ = [update async for update in updates]

    assert (unknown.value.code, forbidden.value.code) == ("UNAUTHENTICATED", "FORBIDDEN")
    assert first.workflow.status in {"PENDING", "RUNNING"}


@pytest.mark.parametrize("hidden", ["nothing", "httpx2"])
async def test_it_works_with_the_http_library_that_gql_finds(server: ThreadServer, hidden: str) -> None:
    program = f"""
import asyncio, sys
sys.modules.update({{name: None for name in {hidden!r}.split() if name != "nothing"}})
from gql_app.client import ConnectionFailedError, WorkflowClient

async def main():
    async with WorkflowClient({server.url!r}) as client:
        print(len(await client.tools()) > 3)
    async with WorkflowClient("http://127.0.0.1:1") as client:
        try:
            await client.tools()
        except ConnectionFailedError as error:
            print("Is the server running?" in str(error))

asyncio.run(main())
"""

    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()

    assert (out.split(), process.returncode) == ([b"True", b"True"], 0), err
