"""What can be written on the command line, and the help that explains it."""

import argparse
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from gql_app.cli.key_arguments import add_keys
from gql_app.cli.mcp_arguments import add_mcp
from gql_app.cli.options import (
    Commands,
    add_command,
    add_file,
    add_id,
    add_input,
    add_json,
    add_shown,
    add_token,
    add_tools,
    add_url,
    natural,
)
from gql_app.cli.serve_arguments import add_serve
from gql_app.cli.store_arguments import add_db, add_export, add_import
from gql_app.core.run import RunStatus

_DESCRIPTION: Final = "Run workflows of tools and agents, here or on a server, and watch them live."
_EPILOG: Final = """\
first steps:
  gql-app run hello.json                     run a document in this process and print its output
  gql-app serve                              serve GraphQL; open http://127.0.0.1:8000/graphql
  gql-app submit hello.json --watch          run it on the server and watch it
  gql-app tools                              what nodes can call

exit codes:
  0 completed   1 failed   2 invalid document or arguments   130 interrupted   143 terminated

Every setting can be given as an environment variable too: GQL_APP_URL, GQL_APP_TOKEN, GQL_APP_HOST, GQL_APP_PORT,
GQL_APP_MAXIMUM_NODES … NO_COLOR turns colours off. `gql-app COMMAND --help` says more about a command.
"""

_SCHEMA: Final = "schema"
"""Where the published files are, seen from the repository."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments. Raises `SystemExit` for those that are wrong, and after help."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    if options.command == "schema":
        _find_directory(options, rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command in {"run", "validate"}:
        _find_file(parser, options)
    return options


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="gql-app",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gql-app {version('gql-app')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    here, there = (_run, _validate, add_serve), (_submit, _watch, _list, _show, _cancel, _retry, _delete)
    for add in (*here, *there, _tools, add_mcp, add_keys, add_db, add_export, add_import, _schema):
        add(commands)
    return parser


def _run(commands: Commands) -> None:
    parser = add_command(
        commands,
        "run",
        "run a document in this process",
        "gql-app run hello.json",
        'gql-app run report.yaml --input \'{"topic": "graphql"}\'',
        "gql-app run report.yaml --input @input.json --tools my_tools > output.json",
        "cat hello.json | gql-app run -",
        more="The output goes to standard output as JSON,\n"
        "how it goes to standard error. Ctrl-C stops the run, twice leaves at once.",
    )
    parser.usage = "gql-app run [-h] FILE [--input JSON|@FILE] [--only TOPIC,…] [--node ID] [--tools MODULE ...]"
    add_file(parser, optional=True)
    add_input(parser)
    add_shown(parser)
    add_tools(parser)


def _validate(commands: Commands) -> None:
    parser = add_command(
        commands,
        "validate",
        "check a document without running it",
        "gql-app validate hello.json",
        "gql-app validate report.yaml --tools my_tools",
        "gql-app validate report.yaml --url http://127.0.0.1:8000",
        more="Every problem is told with its place.",
    )
    parser.usage = "gql-app validate [-h] FILE [--input JSON|@FILE] [--tools MODULE ... | --url URL [--token TOKEN]]"
    add_file(parser, optional=True)
    add_input(parser)
    where = parser.add_mutually_exclusive_group()
    add_tools(where)
    where.add_argument("--url", help="check with the tools of the server there")
    add_token(parser)


def _submit(commands: Commands) -> None:
    parser = add_command(
        commands,
        "submit",
        "start a run on a server",
        "gql-app submit hello.json",
        "gql-app submit report.yaml --input @input.json --idempotency-key monday --watch",
        more="Writes the run's id, or with --watch its output.",
    )
    add_file(parser)
    add_input(parser)
    add_url(parser)
    parser.add_argument("--idempotency-key", metavar="KEY", help="sent again with the same document, it finds the run")
    parser.add_argument("--watch", action="store_true", help="watch the run until it has ended")


def _watch(commands: Commands) -> None:
    parser = add_command(
        commands,
        "watch",
        "show a run on a server until it has ended",
        "gql-app watch 019c0000-0000-7000-8000-000000000001",
        "gql-app watch 019c0000-0000-7000-8000-000000000001 --only output --node report",
        more="A lost connection is made again,\nand nothing is missed. Ctrl-C ends the watching, not the run.",
    )
    add_id(parser)
    add_url(parser)
    parser.add_argument(
        "--after",
        type=natural(0),
        default=0,
        metavar="SEQUENCE",
        help="only what happened after this event (default 0)",
    )
    add_shown(parser)


def _list(commands: Commands) -> None:
    parser = add_command(
        commands,
        "list",
        "list the runs on a server, newest first",
        "gql-app list --status RUNNING --status STOPPING",
        "gql-app list --name daily-brief --label team=research --first 100 --json",
    )
    add_url(parser)
    parser.add_argument(
        "--status",
        action="append",
        default=[],
        type=str.upper,
        choices=[status.value for status in RunStatus],
        metavar="STATUS",
        help="only runs in this status, such as RUNNING or FAILED; more than one may be given",
    )
    parser.add_argument("--name", help="only runs of workflows of exactly this name")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="only runs with this label")
    parser.add_argument("--first", type=natural(1), default=20, metavar="N", help="how many at most (default 20)")
    add_json(parser)


def _show(commands: Commands) -> None:
    parser = add_command(
        commands,
        "show",
        "show a run on a server as it is now, or as it was",
        "gql-app show ID",
        "gql-app show ID --at 5",
        "gql-app show ID --json",
    )
    add_id(parser)
    add_url(parser)
    parser.add_argument(
        "--at",
        type=natural(1),
        metavar="SEQUENCE",
        help="the run as it was after this event; its log numbers them from 1",
    )
    add_json(parser)


def _cancel(commands: Commands) -> None:
    parser = add_command(
        commands, "cancel", "stop a run on a server", "gql-app cancel ID", "gql-app cancel ID --reason 'wrong input'"
    )
    add_id(parser)
    add_url(parser)
    parser.add_argument("--reason", help="why; told in the run's error")


def _retry(commands: Commands) -> None:
    parser = add_command(
        commands,
        "retry",
        "run a finished run's document again, as a new run",
        "gql-app retry ID",
        "gql-app retry ID --from START",
        more="Writes the new run's id.",
    )
    add_id(parser)
    add_url(parser)
    parser.add_argument(
        "--from",
        dest="from_",
        type=str.upper,
        choices=["FAILED", "START"],
        default="FAILED",
        help="FAILED keeps the outputs of completed nodes (default), START keeps nothing",
    )


def _delete(commands: Commands) -> None:
    parser = add_command(
        commands,
        "delete",
        "remove a finished run from a server, for good",
        "gql-app delete ID",
        more="For admins, and who submitted it.",
    )
    add_id(parser)
    add_url(parser)


def _tools(commands: Commands) -> None:
    parser = add_command(
        commands,
        "tools",
        "tell which tools nodes can call",
        "gql-app tools",
        "gql-app tools --tools my_tools --json",
        "gql-app tools --url http://127.0.0.1:8000",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help="the tools of the server there")
    add_tools(where)
    add_token(parser)
    add_json(parser)


def _schema(commands: Commands) -> None:
    parser = add_command(
        commands,
        "schema",
        "write what is published of the API",
        "gql-app schema export",
        "gql-app schema export --check",
        "gql-app schema export --check published",
    )
    parser.add_argument("action", choices=["export"], help="write the GraphQL schema and the named operations")
    parser.add_argument("directory", nargs="?", help=f"where to (default: {_SCHEMA})")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not up to date")


def _find_directory(options: argparse.Namespace, rest: list[str]) -> None:
    """Take the directory from behind an option too, where argparse does not look for it: `export --check DIR`."""
    if options.directory is None and rest and not rest[0].startswith("-"):
        options.directory = rest.pop(0)
    options.directory = options.directory or _SCHEMA


def _find_file(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Take the last of the modules for the document if there is no other: `run --tools my_tools hello.json`."""
    if options.file is None and len(options.tools) > 1:
        options.file = options.tools.pop()
    if options.file is None:
        parser.error(f"{options.command}: FILE is missing; name a document, or - for standard input")
