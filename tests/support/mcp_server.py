"""A real MCP server, over stdio or streamable HTTP, whose tools do what tests want to see: run it as a program.

`python -m tests.support.mcp_server stdio DIRECTORY` or `… http DIRECTORY PORT [TOKEN]`. What its tools noticed stands
in files of the directory.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import AudioContent, ImageContent, TextContent
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gql_app.core.values import Json

server = MCPServer("test-server", version="1")


def note(name: str, text: str = "") -> None:
    """Leave a file for the test to find."""
    directory = Path(sys.argv[2])
    (directory / f"{name}.part").write_text(text)
    (directory / f"{name}.part").rename(directory / name)


@server.tool()
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool(structured_output=False)
def greet(name: str = "World") -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


@server.tool(structured_output=False)
def parts() -> list[TextContent | ImageContent | AudioContent]:
    """Give a text, an image and a sound."""
    return [
        TextContent(type="text", text="See:"),
        ImageContent(type="image", data="aW1hZ2U=", mime_type="image/png"),
        AudioContent(type="audio", data="c291bmQ=", mime_type="audio/wav"),
    ]


@server.tool(structured_output=False)
async def work(context: Context, steps: int = 4) -> str:
    """Do some work and tell how far it has come."""
    for step in range(steps):
        await context.report_progress(step + 1, steps, f"step {step + 1}")
        await context.info(f"did step {step + 1}", logger_name="worker")
    return "worked"


@server.tool(structured_output=False)
async def hang(name: str = "hang") -> str:
    """Never answer, and note when it is cancelled."""
    note(f"{name}-called", str(os.getpid()))
    try:
        await asyncio.Event().wait()
    except BaseException:
        note(f"{name}-cancelled")
        raise
    return "never"


@server.tool(structured_output=False)
async def wait_for(name: str) -> str:
    """Answer once the test says so."""
    note(f"{name}-called", str(os.getpid()))
    # What says so is another process.
    while not (Path(sys.argv[2]) / name).exists():  # noqa: ASYNC110 - see the line above
        await asyncio.sleep(0.01)
    return name


@server.tool(structured_output=False)
def fail(message: str = "out of stock") -> str:
    """Fail."""
    raise ToolError(message)


@server.tool(structured_output=False)
def big(size: int) -> str:
    """Give a long text."""
    return "x" * size


@server.tool(structured_output=False)
async def big_at_last(context: Context, size: int) -> str:
    """Give a long text after having said that it is coming."""
    await context.report_progress(1, 2, "coming")
    return "x" * size


@server.tool(structured_output=False)
def environment(name: str) -> str:
    """Tell an environment variable."""
    return os.environ.get(name, "(not set)")


@server.tool(structured_output=False)
def header(context: Context, name: str) -> str:
    """Tell a header of the request."""
    return dict(context.headers or {}).get(name, "(not sent)")


@server.tool(structured_output=False)
def complain(text: str) -> str:
    """Write to the standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    return "complained"


@server.tool(structured_output=False)
async def grow(context: Context, name: str) -> str:
    """Get a tool more."""

    async def grown() -> str:
        return name

    server.add_tool(grown, name=name, description="Grown.", structured_output=False)
    await context.notify_tools_changed()
    return "grown"


@server.tool(structured_output=False)
async def shrink(context: Context, name: str) -> str:
    """Have a tool less."""
    server.remove_tool(name)
    await context.notify_tools_changed()
    return "shrunk"


@server.tool(structured_output=False)
def meta(context: Context) -> str:
    """Tell the idempotency key of the call."""
    told: Json = context.request_context.meta or {}
    return str(dict(told).get("gql-app/idempotencyKey"))


def guarded(app: ASGIApp, token: str) -> ASGIApp:
    """Let in only those who bring the token."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and Headers(scope=scope).get("authorization") != f"Bearer {token}":
            await PlainTextResponse("Who are you?", 401)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guard


def serve_http(port: int, token: str | None) -> None:
    """Serve over HTTP until told to stop, and say when it is there."""
    app = server.streamable_http_app(streamable_http_path="/mcp")
    config = uvicorn.Config(app if token is None else guarded(app, token), log_level="warning")
    config.timeout_graceful_shutdown = 1
    with socket.create_server(("127.0.0.1", port)) as listener:
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stdio", _]:
            server.run("stdio")
        case ["http", _, port]:
            serve_http(int(port), None)
        case ["http", _, port, token]:
            serve_http(int(port), token)
        case _:
            sys.exit(__doc__)
