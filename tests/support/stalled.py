"""A subscriber that asks for more than there is room for, and reads nothing of it."""

import contextlib
import json
import socket
from collections.abc import Iterator

import anyio
from websockets.client import ClientProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from gql_app.core.values import Json
from tests.support.documents import WATCH, document, echo, submit
from tests.support.server import LONGEST_WAIT, RunningServer
from tests.support.socket_client import PROTOCOL

WATCH_OUTPUT = """
subscription WatchOutput($id: ID!) {
  workflowUpdates(id: $id, after: 0) { workflow { output } }
}
"""
# Together more than the buffers of both sides hold, on any system.
OUTPUT_BYTES = 200_000
SUBSCRIPTIONS = 90


@contextlib.contextmanager
def stalled(server: RunningServer, *run_ids: str) -> Iterator[socket.socket]:
    """Subscribe to much, and then to these runs."""
    much = finished_run(server)
    with narrow_connection(server) as connection:
        protocol = ClientProtocol(parse_uri(server.ws_url), subprotocols=[Subprotocol(PROTOCOL)])
        protocol.send_request(protocol.connect())
        connection.sendall(b"".join(protocol.data_to_send()))
        protocol.receive_data(connection.recv(4096))
        protocol.send_text(b'{"type": "connection_init"}')
        for number, run_id in enumerate([much] * SUBSCRIPTIONS + list(run_ids)):
            payload = {"query": WATCH_OUTPUT, "variables": {"id": run_id}}
            protocol.send_text(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}).encode())
        connection.sendall(b"".join(protocol.data_to_send()))
        yield connection


def finished_run(server: RunningServer) -> str:
    """Let a run with a big output come to its end."""
    run_id = submit(server, document(echo("a", "x" * OUTPUT_BYTES)))
    watch(server, run_id)
    return run_id


def watch(server: RunningServer, run_id: str) -> list[Json]:
    """Watch a run to its end."""

    async def watch_to_the_end() -> list[Json]:
        async with server.socket() as client:
            return [update async for update in client.results(WATCH, {"id": run_id, "after": 0})]

    return anyio.run(watch_to_the_end)


@contextlib.contextmanager
def narrow_connection(server: RunningServer) -> Iterator[socket.socket]:
    """Connect with little room for what comes."""
    with socket.socket() as connection:
        connection.settimeout(LONGEST_WAIT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(server.address)
        yield connection
