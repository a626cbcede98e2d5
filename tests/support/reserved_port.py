"""A port that stays ours also while nobody listens on it: for servers that are killed and started again."""

import socket


class ReservedPort:
    """A free port of this machine. Servers may listen on it; nobody else is given it meanwhile."""

    def __init__(self) -> None:
        # It is bound and never listens: then a server that shares addresses may listen there, and the system gives
        # the port to nobody else, neither to servers that take any nor to connections that go out.
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Let others have it."""
        self._socket.close()
