"""A subscriber that never reads: it holds up nobody, and costs nothing after it is gone."""

import contextlib
import json
import socket
from collections.abc import Iterator

import anyio
import pytest
from websockets.client import ClientProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gql_app.core.values import Json
from tests.support.documents import WATCH, document, echo, submit
from tests.support.server import LONGEST_WAIT, RunningServer, ThreadServer, live_server
from tests.support.socket_client import PROTOCOL

WATCH_OUTPUT = """
subscription WatchOutput($id: ID!) {
  workflowUpdates(id: $id, after: 0) { workflow { output } }
}
"""
# Together more than the buffers of both sides hold, on any system.
OUTPUT_BYTES = 200_000
SUBSCRIPTIONS = 90


@pytest.fixture
def server() -> Iterator[ThreadServer]:
    with live_server() as running:
        yield running


def test_others_are_told_everything_meanwhile(server: ThreadServer) -> None:
    with stalled(server):
        updates = watch(server, submit(server, document()))

    assert updates[-1]["workflowUpdates"]["workflow"]["status"] == "COMPLETED"


def test_it_is_cut_off_and_leaves_nothing_behind(server: ThreadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_app.web.connections.STALL_SECONDS", 0.01)

    with stalled(server) as connection:
        server.wait_until_idle()

        assert 0 < len(read_all(connection)) < OUTPUT_BYTES * SUBSCRIPTIONS


def test_a_client_that_never_reads_its_answers_does_not_keep_the_server_from_stopping(server: ThreadServer) -> None:
    with greedy(server):
        server.stop()


def test_a_client_that_never_reads_its_answers_is_cut_off(
    server: ThreadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_app.web.connections.STALL_SECONDS", 0.01)

    with greedy(server) as connection:
        server.wait_until_idle()

        assert len(read_all(connection)) < OUTPUT_BYTES * SUBSCRIPTIONS


def test_it_does_not_keep_the_server_from_stopping(server: ThreadServer, caplog: pytest.LogCaptureFixture) -> None:
    with stalled(server):
        server.stop()

    assert caplog.messages == []


@contextlib.contextmanager
def stalled(server: RunningServer) -> Iterator[socket.socket]:
    """Subscribe to more than there is room for, and read nothing of it."""
    run_id = finished_run(server)
    with narrow_connection(server) as connection:
        protocol = ClientProtocol(parse_uri(server.ws_url), subprotocols=[Subprotocol(PROTOCOL)])
        protocol.send_request(protocol.connect())
        connection.sendall(b"".join(protocol.data_to_send()))
        protocol.receive_data(connection.recv(4096))
        protocol.send_text(b'{"type": "connection_init"}')
        for number in range(SUBSCRIPTIONS):
            payload = {"query": WATCH_OUTPUT, "variables": {"id": run_id}}
            protocol.send_text(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}).encode())
        connection.sendall(b"".join(protocol.data_to_send()))
        yield connection


@contextlib.contextmanager
def greedy(server: RunningServer) -> Iterator[socket.socket]:
    """Ask for more over HTTP than there is room for, and read nothing of it but its beginning."""
    request = f"GET /workflows/{finished_run(server)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with narrow_connection(server) as connection:
        connection.sendall(request.encode() * SUBSCRIPTIONS)
        connection.recv(1)
        yield connection


def finished_run(server: RunningServer) -> str:
    run_id = submit(server, document(echo("a", "x" * OUTPUT_BYTES)))
    watch(server, run_id)
    return run_id


@contextlib.contextmanager
def narrow_connection(server: RunningServer) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.settimeout(LONGEST_WAIT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side has closed or cut the connection."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            data += chunk
    return bytes(data)


def watch(server: RunningServer, run_id: str) -> list[Json]:
    async def watch_to_the_end() -> list[Json]:
        async with server.socket() as client:
            return [update async for update in client.results(WATCH, {"id": run_id, "after": 0})]

    return anyio.run(watch_to_the_end)
