"""A bare Starlette application that sends the same text to every websocket there is: what fan-out is measured by.

Run as a module, it serves on a free port, prints it, and ends with its standard input.
"""

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from gql_app.web.loop import run
from gql_app.web.server import listen

_listeners: set[WebSocket] = set()


async def _join(websocket: WebSocket) -> None:
    await websocket.accept()
    _listeners.add(websocket)
    try:
        async for _ in websocket.iter_text():
            pass
    finally:
        _listeners.discard(websocket)


async def _broadcast(request: Request) -> Response:
    text = (await request.body()).decode()
    for websocket in list(_listeners):
        await websocket.send_text(text)
    return Response()


async def main() -> None:
    """Serve until the standard input ends."""
    app = Starlette(routes=[Route("/", _broadcast, methods=["POST"]), WebSocketRoute("/", _join)])
    config = uvicorn.Config(app, log_level="warning", lifespan="off", ws_per_message_deflate=False)
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        print(listener.getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving


if __name__ == "__main__":
    run(main(), make_loop=uvicorn.Config("").get_loop_factory() or asyncio.new_event_loop)
