"""`gql-app import`: brings runs into a store that `gql-app export` wrote."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import clean, say, tell
from gql_app.cli.stores import store_settings, with_store
from gql_app.core.errors import WorkflowError
from gql_app.settings import Settings
from gql_app.storage.sql.arrivals import InvalidExportError
from gql_app.storage.sql.importing import Imported, Importer
from gql_app.storage.sql.opening import make_wakeups
from gql_app.storage.sql.upkeep import opened_database


def main(options: argparse.Namespace) -> int:
    """Store the runs of a file, and tell which could not be."""
    settings = store_settings(options.store)
    with _opened(options.file) as file:
        imported, trouble = with_store(_import(settings, file))
    for problem in imported.problems:
        tell(clean(problem))
    runs = "1 run" if imported.added == 1 else f"{imported.added} runs"
    were = "was" if imported.present == 1 else "were"
    say(f"{runs} imported; {imported.present} {were} there already.")
    if trouble is not None:
        raise CommandError(trouble)
    return ExitCode.FAILED if imported.problems else ExitCode.OK


async def _import(settings: Settings, file: BinaryIO) -> tuple[Imported, str | None]:
    """Tell what was stored, and what kept the rest from it."""
    async with opened_database(settings, makes=True, alone=True) as database:
        importer = Importer(database, make_wakeups(database))
        try:
            await importer.read(file)
        except (InvalidExportError, WorkflowError) as error:
            return importer.imported, str(error)
        return importer.imported, None


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - the next block closes it
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}.", ExitCode.INVALID) from None
    with file:
        yield file
