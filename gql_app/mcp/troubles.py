"""What a transport learns of its server, and whoever looks after the connection wants to know."""

from typing import TypeAlias

import anyio

from gql_app.core.values import Json

Streams: TypeAlias = Json
"""What a transport gives: the streams to read from and to write to. The library keeps their types to itself."""


class Troubles:
    """The signs that a connection is not, or may not be, what it was."""

    def __init__(self) -> None:
        self.news = anyio.Event()
        """Set when there is something to look into."""
        self.lost = anyio.Event()
        self.reason: str | None = None
        """Why the connection is lost, if it is."""
        self.doubt: str | None = None
        """Why the connection may be lost."""
        self.noise: str | None = None
        """What the server said last that is no message."""

    def lose(self, reason: str) -> None:
        """Say that the connection is lost; the first reason counts."""
        self.reason = self.reason or reason.rstrip(".")
        self.lost.set()
        self.news.set()

    def suspect(self, doubt: str) -> None:
        """Say that the connection may be lost."""
        self.doubt = doubt.rstrip(".")
        self.news.set()

    def change(self) -> None:
        """Say that the tools may have changed."""
        self.news.set()

    def look(self) -> None:
        """Take note of what there is to look into: what comes from now on is news again."""
        self.news = anyio.Event()
        if self.lost.is_set():
            self.news.set()
