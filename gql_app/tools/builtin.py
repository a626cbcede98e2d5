"""The tools that ship."""

from gql_app.ports import Evaluator, Tool
from gql_app.settings import Settings
from gql_app.tools.delay import delay
from gql_app.tools.echo import echo
from gql_app.tools.fail import fail
from gql_app.tools.http import HttpRequest
from gql_app.tools.subprocess_run import subprocess_tools
from gql_app.tools.text import text_template
from gql_app.tools.transform import transform


def builtin_tools(settings: Settings, evaluator: Evaluator) -> list[Tool]:
    """Make the tools that every service has, and those that its settings enable."""
    always: list[Tool] = [echo, delay, fail, HttpRequest(settings), text_template(settings), transform(evaluator)]
    return [*always, *subprocess_tools(settings)]
