"""What can be written behind `gql-app keys`."""

from gql_app.cli.options import Commands, add_command, add_json
from gql_app.core.access import Scope


def add_keys(commands: Commands) -> None:
    """Add the command and its actions."""
    parser = add_command(
        commands,
        "keys",
        "create, list and revoke API keys",
        "gql-app keys create --name ci --namespace team-a --expires 30d",
        "gql-app keys list",
        "gql-app keys revoke 0123456789ab",
        "gql-app keys list --store sqlite:///runs.db",
        more="They stand in a file or a\nstore, which servers follow. A key is shown once, when it is made.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    create = actions.add_parser("create", help="make a key and write it", allow_abbrev=False)
    create.add_argument("--name", required=True, help="what it is called in logs and lists")
    create.add_argument("--namespace", default="default", help="whose runs it shows and makes (default: default)")
    create.add_argument(
        "--scope",
        action="append",
        default=[],
        choices=[scope.value for scope in Scope],
        help="what it is good for; more than one may be given (default: workflows:read and workflows:write)",
    )
    create.add_argument("--expires", metavar="30d|DATE", help="in how long, or when in UTC: 12h, 30d, 2030-01-31")
    listing = actions.add_parser("list", help="tell all keys, but not themselves", allow_abbrev=False)
    add_json(listing)
    revoke = actions.add_parser("revoke", help="make a key good for nothing", allow_abbrev=False)
    revoke.add_argument("id", metavar="ID", help="the key's id, from the list")
    for action in (create, listing, revoke):
        where = action.add_mutually_exclusive_group()
        where.add_argument("--keys-file", metavar="FILE", help="the file that they stand in (GQL_APP_KEYS_FILE)")
        where.add_argument("--store", metavar="URL", help="the store that they stand in (GQL_APP_STORE)")
