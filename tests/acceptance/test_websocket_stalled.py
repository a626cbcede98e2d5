"""A subscriber that never reads: it holds up nobody, and costs nothing after it is gone."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.support.documents import document, submit
from tests.support.server import RunningServer, ThreadServer, live_server
from tests.support.stalled import OUTPUT_BYTES, SUBSCRIPTIONS, finished_run, narrow_connection, stalled, watch


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
    server: ThreadServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gql_app.web.connections.STALL_SECONDS", 0.01)

    with greedy(server) as connection:
        server.wait_until_alone()

        assert len(read_all(connection)) < OUTPUT_BYTES * SUBSCRIPTIONS
        assert caplog.messages == []


def test_it_does_not_keep_the_server_from_stopping(server: ThreadServer, caplog: pytest.LogCaptureFixture) -> None:
    with stalled(server):
        server.stop()

    assert caplog.messages == []


@contextlib.contextmanager
def greedy(server: RunningServer) -> Iterator[socket.socket]:
    """Ask for more over HTTP than there is room for, and read nothing of it but its beginning."""
    request = f"GET /workflows/{finished_run(server)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with narrow_connection(server) as connection:
        connection.sendall(request.encode() * SUBSCRIPTIONS)
        connection.recv(1)
        yield connection


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side has closed or cut the connection."""
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            data += chunk
    return bytes(data)
