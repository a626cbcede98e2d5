"""`gql-app export`: writes runs of a store as lines of JSON."""

import argparse
import sys

from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import tell
from gql_app.cli.stores import store_settings, with_store
from gql_app.core.access import parse_namespace
from gql_app.core.ids import RunId
from gql_app.settings import Settings
from gql_app.storage.sql.exporting import Choice, Exported, Exporter
from gql_app.storage.sql.upkeep import opened_database


def main(options: argparse.Namespace) -> int:
    """Write them to the standard output, and tell of those that cannot be read."""
    settings = store_settings(options.store)
    try:
        namespace = None if options.namespace is None else parse_namespace(options.namespace)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.INVALID) from None
    run_ids = tuple(map(RunId, options.run))
    exported = with_store(
        _export(settings, Choice(namespace=namespace, run_ids=run_ids, unfinished=options.unfinished))
    )
    for problem in exported.problems:
        tell(problem)
    tell("1 run exported." if exported.runs == 1 else f"{exported.runs} runs exported.")
    return ExitCode.FAILED if exported.problems else ExitCode.OK


async def _export(settings: Settings, choice: Choice) -> Exported:
    async with opened_database(settings, reads=True) as database:
        exported = await Exporter(database, sys.stdout.buffer.write).export(choice)
        sys.stdout.buffer.flush()
        return exported
