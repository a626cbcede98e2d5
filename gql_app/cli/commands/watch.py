"""`gql-app watch`: shows a run on a server until it has ended."""

import argparse
import asyncio

from gql_app.cli.interruption import Interruption
from gql_app.cli.options import WhatToShow, what_to_show
from gql_app.cli.output import tell
from gql_app.cli.remote import connected, follow
from gql_app.client import WorkflowClient
from gql_app.web.loop import run as run_loop


def main(options: argparse.Namespace) -> int:
    """Watch a run, also across lost connections, and write its output."""
    return run_loop(_watch(options))


async def _watch(options: argparse.Namespace) -> int:
    async with connected(options) as client:
        return await follow_until_interrupted(client, options.id, after=options.after, shown=what_to_show(options))


async def follow_until_interrupted(client: WorkflowClient, run_id: str, *, after: int, shown: WhatToShow) -> int:
    """Follow a run until it has ended or somebody wants to go; the run goes on then."""
    with Interruption().listening() as interruption:
        following = asyncio.create_task(follow(client, run_id, after, shown))
        asked = asyncio.create_task(interruption.wait())
        try:
            await asyncio.wait([following, asked], return_when=asyncio.FIRST_COMPLETED)
            if following.done() or interruption.code is None:
                return await following
            tell(f"The run goes on. To stop it: gql-app cancel {run_id} --url {client.url}")
            return interruption.code
        finally:
            for task in (following, asked):
                task.cancel()
            await asyncio.wait([following, asked])
