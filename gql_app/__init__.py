"""Run workflows of tools and agents and show them live over GraphQL.

What stands here is for authors of tools.
"""

from gql_app.core.errors import ToolError
from gql_app.core.spec import RateLimit, RetryPolicy, TimeoutPolicy
from gql_app.ports import Resource, ToolContext
from gql_app.tools.decorator import tool
from gql_app.tools.resource import resource

__all__ = [
    "RateLimit",
    "Resource",
    "RetryPolicy",
    "TimeoutPolicy",
    "ToolContext",
    "ToolError",
    "__version__",
    "resource",
    "tool",
]

__version__ = "0.1.0"
