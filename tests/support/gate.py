"""A tool that waits until the test lets it go on."""

import threading
from types import TracebackType
from typing import Self

from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.tools.decorator import tool


class Gate:
    """Holds every node that calls its tool, `gate`, until it is opened; leaving its block opens it."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self.tool: Tool = tool(name="gate")(self._pass)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.open()

    def open(self) -> None:
        """Let all go on."""
        self._opened.set()

    def wait(self) -> None:
        """Wait for the gate to be opened."""
        self._opened.wait()

    def _pass(self) -> str:
        """Wait for the gate to be opened."""
        self.wait()
        return "passed"


class Turnstile:
    """Lets the nodes that call its tool, `turnstile`, through one by one; leaving its block lets all through."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(0)
        self._opened = False
        self.tool: Tool = tool(name="turnstile")(self._pass)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.open()

    def open(self) -> None:
        """Let all through from now on."""
        self._opened = True
        self._permits.release()

    def let_through(self, count: int) -> None:
        """Let so many more through."""
        if count:
            self._permits.release(count)

    def _pass(self) -> None:
        """Wait for one's turn."""
        self._permits.acquire()
        if self._opened:
            self._permits.release()


def gated(node_id: str = "wait", **fields: Json) -> Json:
    """Make a node that waits at the gate."""
    return {"id": node_id, "tool": "gate", **fields}
