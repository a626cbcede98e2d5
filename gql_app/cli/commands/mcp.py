"""`gql-app mcp`: lets an assistant run workflows on a server, by the Model Context Protocol."""

import argparse
import asyncio
import logging
import sys

from gql_app.cli.assistant.server import make_server
from gql_app.cli.assistant.wire import serve
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.interruption import Interruption
from gql_app.cli.output import reserved_stdout, tell
from gql_app.cli.remote import connected
from gql_app.client import WorkflowClient
from gql_app.web.loop import run as run_loop


def main(options: argparse.Namespace) -> int:
    """Serve an assistant over standard input and output, until it closes them."""
    if sys.stdin is None or sys.stdout is None:
        raise CommandError("The assistant talks over standard input and output, and one of them is closed.")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="gql-app mcp: %(levelname)s %(message)s")
    return run_loop(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    async with connected(options) as client:
        if sys.stdin.isatty():
            tell(f"gql-app mcp waits for an assistant that speaks MCP to it, about {client.url}. Ctrl-C ends it.")
        return await _serve_until_interrupted(client)


async def _serve_until_interrupted(client: WorkflowClient) -> ExitCode:
    with reserved_stdout() as out, Interruption().listening() as interruption:
        serving = asyncio.create_task(serve(make_server(client), sys.stdin.fileno(), out.fileno()))
        asked = asyncio.create_task(interruption.wait())
        try:
            await asyncio.wait([serving, asked], return_when=asyncio.FIRST_COMPLETED)
            return interruption.code or await serving
        finally:
            for task in (serving, asked):
                task.cancel()
            await asyncio.gather(serving, asked, return_exceptions=True)
