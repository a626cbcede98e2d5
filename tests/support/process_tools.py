"""Tools that can be sent to a process of their own: their functions stand in an importable module."""

import threading

from gql_app.core.values import Json
from gql_app.ports import ToolContext
from tests.support.engine import plain


def hang(value: Json, context: ToolContext) -> Json:
    """Never return."""
    threading.Event().wait()


def add(value: Json, context: ToolContext) -> Json:
    """Add numbers."""
    return sum(value)


HANG = plain("hang", hang, isolation="process")
ADD = plain("add", add, isolation="process")
