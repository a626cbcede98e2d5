"""Makes the first events of a run, and the values they refer to."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec
import orjson

from gql_app.core.access import Identity
from gql_app.core.events import NodeReused, RunEvent, SkipReason, WorkflowSubmitted
from gql_app.core.ids import Namespace, RunId
from gql_app.core.planning import Planned
from gql_app.core.run import NodeRun, NodeStatus, WorkflowRun
from gql_app.core.values import INLINE_BYTES, Json, Value
from gql_app.telemetry.context import trace_parent


class Submission(NamedTuple):
    """A run that is to be stored."""

    run_id: RunId
    submitted: WorkflowSubmitted
    """The first of the events."""
    events: list[RunEvent]
    values: dict[str, bytes]


def make_submission(
    planned: Planned,
    *,
    namespace: Namespace,
    run_id: RunId,
    at: datetime,
    retry_of: RunId | None,
    by: Identity,
) -> Submission:
    """Make a run of what was planned."""
    values: dict[str, bytes] = {}
    submitted = WorkflowSubmitted(
        sequence=1,
        at=at,
        run_id=run_id,
        namespace=namespace,
        plan=planned.plan,
        document=msgspec.Raw(planned.document),
        input=_make_value(planned.input, values),
        labels=planned.labels,
        retry_of=retry_of,
        trace_parent=trace_parent(),
        submitted_by=by.signature,
        owner=by.owner,
    )
    return Submission(run_id, submitted, [submitted], values)


def reuse(submission: Submission, nodes: Sequence[NodeRun]) -> None:
    """Carry completed nodes over into a run that is to be stored."""
    at = submission.submitted.at
    for node in nodes:
        sequence = len(submission.events) + 1
        submission.events.append(NodeReused(sequence=sequence, at=at, node=node.key, output=node.output))


def reusable(run: WorkflowRun) -> list[NodeRun]:
    """Tell the completed nodes whose outputs still hold when everything else runs again.

    A node that completed after one that failed and may now complete is not among them.
    """
    repeated = [node.index for node in run.nodes if _may_differ(node)]
    seen = set(repeated)
    while repeated:
        for dependent in run.topology.dependents[repeated.pop()]:
            if dependent not in seen:
                seen.add(dependent)
                repeated.append(dependent)
    return [node for node in run.nodes if node.status is NodeStatus.COMPLETED and node.index not in seen]


def _may_differ(node: NodeRun) -> bool:
    skipped_by_itself = node.status is NodeStatus.SKIPPED and node.skip_reason is not SkipReason.WORKFLOW_STOPPING
    return node.status is not NodeStatus.COMPLETED and not skipped_by_itself


def _make_value(value: Json, values: dict[str, bytes]) -> Value:
    data = orjson.dumps(value)
    if len(data) <= INLINE_BYTES:
        return Value(msgspec.Raw(data), len(data))
    digest = sha256(data).hexdigest()
    values[digest] = data
    return Value(size=len(data), sha256=digest)
