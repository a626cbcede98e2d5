"""What GraphiQL shows on a first visit: published operations, ready to be run."""

import json
from functools import cache
from importlib.resources import files
from typing import Final

from gql_app.core.values import Json
from gql_app.schema.operations import load
from gql_app.web.graphiql import Tab

_RUN_ID: Final = "paste the id that SubmitWorkflow answered with"


@cache
def first_tabs() -> tuple[Tab, ...]:
    """Make the tabs: submit the sample, read it, list runs, watch one."""
    sample = json.loads((files("gql_app.web") / "sample_workflow.json").read_text(encoding="utf-8"))
    return (
        _tab("SubmitWorkflow", {"spec": sample}),
        _tab("GetWorkflow", {"id": _RUN_ID}),
        _tab("ListWorkflows", {"first": 20}),
        _tab("WorkflowUpdates", {"id": _RUN_ID, "after": 0}),
    )


def _tab(operation: str, variables: Json) -> Tab:
    return Tab(query=load(operation), variables=json.dumps(variables, indent=2))
