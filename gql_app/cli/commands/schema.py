"""`gql-app schema export`: writes what is published of the API."""

import argparse
from pathlib import Path

from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import say, tell
from gql_app.schema.export import check, export


def main(options: argparse.Namespace) -> int:
    """Write the published files, or tell which of them are not what the code says."""
    directory = Path(options.directory)
    try:
        if options.check:
            return _check(directory)
        for path in export(directory):
            say(str(path))
    except OSError as error:
        raise CommandError(f"{error.filename or directory}: {error.strerror or error}.") from None
    return ExitCode.OK


def _check(directory: Path) -> int:
    problems = check(directory)
    for problem in problems:
        tell(problem)
    if problems:
        tell(f"Run: gql-app schema export {directory}")
    return ExitCode.FAILED if problems else ExitCode.OK
