"""`gql-app submit`: starts a run on a server."""

import argparse

from gql_app.cli.commands.watch import follow_until_interrupted
from gql_app.cli.documents import read_document, read_input
from gql_app.cli.failures import ExitCode
from gql_app.cli.options import EVERYTHING
from gql_app.cli.output import say, tell
from gql_app.cli.remote import connected
from gql_app.cli.words import describe_problems
from gql_app.client import InvalidDocumentError
from gql_app.core.values import Json
from gql_app.web.loop import run as run_loop


def main(options: argparse.Namespace) -> int:
    """Submit a document and write the run's id, or watch the run and write its output."""
    document, given = read_document(options.file), read_input(options.input)
    return run_loop(_submit(options, document, given))


async def _submit(options: argparse.Namespace, document: Json, given: Json) -> int:
    try:
        async with connected(options) as client:
            run = await client.submit(document, input=given, idempotency_key=options.idempotency_key)
            if options.watch:
                tell(f"Run {run.id} was submitted.")
                return await follow_until_interrupted(client, run.id, after=0, shown=EVERYTHING)
            say(run.id)
            return ExitCode.OK
    except InvalidDocumentError as error:
        for line in describe_problems(error.problems):
            tell(line)
        return ExitCode.INVALID
