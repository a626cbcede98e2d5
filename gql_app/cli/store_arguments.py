"""What can be written behind `gql-app db`, `export` and `import`."""

import argparse

from gql_app.cli.options import Commands, add_command, add_json


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add which store it is about. What the environment says of it is not shown in any help: it may have a password."""
    parser.add_argument(
        "--store",
        metavar="URL",
        help="the store: sqlite:///runs.db or postgresql://user@host/database (GQL_APP_STORE)",
    )


def add_db(commands: Commands) -> None:
    """Add the command and its actions."""
    parser = add_command(
        commands,
        "db",
        "look after a store: upgrade, status, vacuum",
        "gql-app db upgrade --store postgresql://gql_app@db.example/runs",
        "gql-app db status --store sqlite:///runs.db",
        "gql-app db vacuum --store sqlite:///runs.db",
        more="A server may go on meanwhile with Postgres, and with\nSQLite for `status`.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    upgrade = actions.add_parser("upgrade", help="make the tables, or bring them up to date", allow_abbrev=False)
    status = actions.add_parser("status", help="tell what is in a store, and who executes its runs", allow_abbrev=False)
    vacuum = actions.add_parser(
        "vacuum", help="remove the finished runs that GQL_APP_RETENTION_… lets go, and free space", allow_abbrev=False
    )
    for action in (upgrade, status, vacuum):
        add_store(action)
    add_json(status)


def add_export(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "export",
        "write runs of a store as lines of JSON",
        "gql-app export --store sqlite:///runs.db > runs.jsonl",
        "gql-app export --store postgresql://gql_app@db.example/runs --namespace team-a > runs.jsonl",
        "gql-app export --store sqlite:///runs.db --run ID --run ID > two.jsonl",
        more="A server may go on meanwhile: each run is\nwritten as it is at one moment. API keys are not written.",
    )
    add_store(parser)
    parser.add_argument("--namespace", metavar="NAME", help="only runs of this namespace")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--run", metavar="ID", action="append", default=[], help="only this run; more than one may be given"
    )
    which.add_argument("--unfinished", action="store_true", help="only runs that have not ended")


def add_import(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "import",
        "bring runs into a store that `gql-app export` wrote",
        "gql-app import --store postgresql://gql_app@db.example/runs runs.jsonl",
        "gql-app export --store sqlite:///runs.db | gql-app import --store sqlite:///copy.db -",
        more="Runs that are\nthere already are left as they are."
        " Those that have not ended go on once a server\nexecutes the runs of the store.",
    )
    add_store(parser)
    parser.add_argument("file", metavar="FILE", help="what was exported, - for standard input")
