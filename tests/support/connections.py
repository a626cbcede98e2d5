"""Cuts connections of a server, as a network that fails does."""

from gql_app.web.connections import HttpProtocol, WebSocketProtocol
from tests.support.server import ThreadServer


def cut_websockets(server: ThreadServer) -> int:
    """Cut every websocket that is open, without a word of farewell, and tell how many there were."""
    sockets = [found for found in server.server.server_state.connections if isinstance(found, WebSocketProtocol)]
    for socket in sockets:
        server.loops[0].call_soon_threadsafe(socket.transport.abort)
    return len(sockets)


def close_websockets(server: ThreadServer) -> int:
    """Close every websocket that is open as a server that restarts does, with 1012, and tell how many there were."""
    sockets = [found for found in server.server.server_state.connections if isinstance(found, WebSocketProtocol)]
    for socket in sockets:
        server.loops[0].call_soon_threadsafe(socket.shutdown)
    return len(sockets)


def cut_streams(server: ThreadServer) -> int:
    """Cut every connection that an answer is being sent on, and tell how many there were."""
    found = [found for found in server.server.server_state.connections if isinstance(found, HttpProtocol)]
    # There is no cycle before the first request, whatever its type says.
    streams = [each for each in found if not getattr(each.cycle, "response_complete", True)]
    for stream in streams:
        server.loops[0].call_soon_threadsafe(stream.transport.abort)
    return len(streams)
