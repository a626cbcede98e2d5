"""Cuts connections of a server, as a network that fails does."""

from gql_app.web.connections import WebSocketProtocol
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
