"""The tools that ship."""

from gql_app.ports import Tool
from gql_app.settings import Settings
from gql_app.tools.delay import delay
from gql_app.tools.echo import echo
from gql_app.tools.fail import fail


def builtin_tools(settings: Settings) -> list[Tool]:
    """Make the tools that every service has."""
    return [echo, delay, fail]
