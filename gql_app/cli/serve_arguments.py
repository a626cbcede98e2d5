"""What can be written behind `gql-app serve`."""

import argparse

from gql_app.cli.options import Commands, add_command, add_tools
from gql_app.settings import Role


def add_serve(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "serve",
        "serve GraphQL, GraphiQL and REST",
        "gql-app serve",
        "gql-app serve --port 9000 --tools my_tools other_tools",
        "gql-app serve --host 0.0.0.0 --keys-file keys.json --posture production",
        "gql-app serve --store sqlite:///runs.db",
        more="Runs are kept in memory, unless --store names a database.",
    )
    _add_address(parser)
    _add_store(parser)
    _add_safety(parser)
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        help="info tells of every request and run (GQL_APP_LOG_LEVEL; default warning)",
    )
    add_tools(parser)


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="the address to listen on (GQL_APP_HOST; default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="the port, 0 for any that is free (GQL_APP_PORT; default 8000)")
    parser.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="an origin whose pages may use the service, like http://localhost:5173; more than one may be given"
        " (GQL_APP_ALLOWED_ORIGINS)",
    )


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        metavar="URL",
        help="where runs are kept: memory, sqlite:///runs.db or postgresql://user@host/database"
        " (GQL_APP_STORE; default memory)",
    )
    parser.add_argument(
        "--role",
        choices=[role.value for role in Role],
        help="with several processes on one Postgres: `api` never executes runs (GQL_APP_ROLE; default all)",
    )
    parser.add_argument(
        "--migrate",
        action="store_const",
        const=True,
        help="bring the tables in Postgres up to date first, as `gql-app db upgrade` does (GQL_APP_MIGRATE)",
    )


def _add_safety(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--posture",
        choices=["development", "production"],
        help="production shows no GraphiQL and does not tell its schema (GQL_APP_POSTURE; default development)",
    )
    parser.add_argument("--keys-file", metavar="FILE", help="let in who has one of these API keys (GQL_APP_KEYS_FILE)")
    parser.add_argument(
        "--keys-store",
        action="store_const",
        const=True,
        help="let in who has an API key of the store, even if it has none yet (GQL_APP_KEYS_IN_STORE)",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="serve everybody even on an address that other machines reach (GQL_APP_INSECURE)",
    )
