"""What GraphiQL shows on a first visit: the published operations, ready to be run."""

from functools import cache
from typing import Final

from gql_app.web.graphiql import Tab

_OPERATIONS: Final = ("submit_workflow", "read_workflow", "list_workflows", "watch_workflow")


@cache
def first_tabs() -> tuple[Tab, ...]:
    """Read the operations from the package."""
    return ()
