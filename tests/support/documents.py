"""Documents that the tests submit, and the operations they do it with."""

from gql_app.core.values import Json
from tests.support.server import RunningServer

SUBMIT = """
mutation Submit($spec: WorkflowSpecInput!, $input: JSON, $key: String) {
  submitWorkflow(spec: $spec, input: $input, idempotencyKey: $key) {
    __typename
    ... on SubmitWorkflowSuccess { workflow { id status } }
    ... on Error { message }
    ... on InvalidWorkflow { problems { code pointer } }
  }
}
"""
WATCH = """
subscription Watch($id: ID!, $after: Int) {
  workflowUpdates(id: $id, after: $after) {
    sequence
    events { __typename sequence ... on NodeCompleted { nodeId } }
    workflow { status }
  }
}
"""


def document(*nodes: Json, **fields: Json) -> Json:
    """Make a document; without nodes, one that greets."""
    return {"name": "test", "nodes": list(nodes) or [echo("greet", "hello")], **fields}


def echo(node_id: str, value: Json, **fields: Json) -> Json:
    """Make a node that gives back `value`."""
    return {"id": node_id, "tool": "echo", "input": {"value": value}, **fields}


def submit(server: RunningServer, spec: Json) -> str:
    """Submit a document that works and give the run's id."""
    result = server.execute(SUBMIT, spec=spec)["submitWorkflow"]
    assert result["__typename"] == "SubmitWorkflowSuccess", result
    run_id: str = result["workflow"]["id"]
    return run_id
