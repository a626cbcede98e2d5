"""What can be written behind `gql-app mcp`."""

from gql_app.cli.options import Commands, add_command, add_url


def add_mcp(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "mcp",
        "let an assistant run workflows on a server (MCP)",
        "gql-app mcp",
        "gql-app mcp --url http://127.0.0.1:8000",
        more="Speaks the Model\nContext Protocol over standard input and output. The assistant starts it; the server\n"
        "may come and go.",
    )
    add_url(parser)
