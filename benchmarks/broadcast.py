"""A bare Starlette application that sends the same text to every websocket there is: what fan-out is compared with.

Run as a module, it serves on a free port, which it prints, until its standard input ends.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gql_app.web.loop import run
from gql_app.web.server import listen
from tests.support.server import RunningServer

_listeners: Final[set[WebSocket]] = set()


class BroadcastServer(RunningServer):
    """The application in a process of its own."""

    process: "subprocess.Popen[str]"

    def broadcast(self, text: str) -> None:
        """Let it send a text to everybody, and wait until it has."""
        with self.client() as client:
            client.post("/", content=text).raise_for_status()


@contextmanager
def broadcast_server() -> Iterator[BroadcastServer]:
    """Start the application, and stop it at the end of the block."""
    command = [sys.executable, "-m", "benchmarks.broadcast"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = BroadcastServer(f"http://127.0.0.1:{int(process.stdout.readline())}")
        object.__setattr__(server, "process", process)
        yield server


async def _join(websocket: WebSocket) -> None:
    await websocket.accept()
    _listeners.add(websocket)
    async for _ in websocket.iter_text():
        pass
    _listeners.discard(websocket)


async def _broadcast(request: Request) -> Response:
    text = (await request.body()).decode()
    for websocket in list(_listeners):
        await websocket.send_text(text)
    return Response()


async def _serve() -> None:
    app = Starlette(routes=[Route("/", _broadcast, methods=["POST"]), WebSocketRoute("/", _join)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws_per_message_deflate=False))
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving


if __name__ == "__main__":
    run(_serve(), make_loop=uvicorn.Config("").get_loop_factory() or asyncio.new_event_loop)
