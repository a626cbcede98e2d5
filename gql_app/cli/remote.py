"""What the commands that talk to a server have in common."""

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from gql_app.cli.board import RemoteBoard
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.options import WhatToShow
from gql_app.cli.output import say, tell, to_json
from gql_app.cli.view import make_view
from gql_app.cli.words import add_sentence, describe_delay, describe_end
from gql_app.client import ClientError, InvalidDocumentError, NotAllowedError, WorkflowClient


@asynccontextmanager
async def connected(options: argparse.Namespace) -> AsyncIterator[WorkflowClient]:
    """Open a client for a command; what goes wrong with it becomes a `CommandError`, but for invalid documents."""
    token = options.token or os.environ.get("GQL_APP_TOKEN") or None
    try:
        client = WorkflowClient(options.url, token=token)
    except ValueError as error:
        raise CommandError(f"{error} See --url and --token.", ExitCode.INVALID) from None
    try:
        async with client:
            yield client
    except InvalidDocumentError:
        raise
    except NotAllowedError as error:
        raise CommandError(f"{error} See --token and GQL_APP_TOKEN.") from None
    except ClientError as error:
        raise CommandError(str(error)) from None


async def follow(client: WorkflowClient, run_id: str, after: int, shown: WhatToShow) -> int:
    """Show a run until it has ended and write its output; tell the exit code."""
    board = RemoteBoard(await client.get(run_id), shown.nodes)
    with make_view(table=shown.table) as view:
        watching = client.watch(run_id, after=after, only=shown.only, nodes=shown.nodes, lost=_tell_loss)
        async with aclosing(watching) as updates:
            async for update in updates:
                board.update(update.workflow, update.changed_nodes)
                view.show(board, update.events)
    run = await client.get(run_id)
    if run.status == "COMPLETED":
        say(to_json(run.output))
        return ExitCode.OK
    for line in describe_end(run):
        tell(line)
    return ExitCode.FAILED


def _tell_loss(reason: str, delay: float) -> None:
    tell(f"{add_sentence(f'The connection was lost: {reason}', f'trying again {describe_delay(delay)}')}.")
