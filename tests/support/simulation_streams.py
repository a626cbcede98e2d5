"""What must hold in every simulation of what attempts stream and of the steps they take."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence

from gql_app.core.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptLost,
    AttemptTimedOut,
    NodeCompleted,
    NodeOutputChunk,
    RunEvent,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from gql_app.core.fold import fold
from gql_app.core.ids import Namespace, NodeKey, RunId
from gql_app.core.values import Json, Value
from tests.support.simulation_calls import Calls
from tests.support.simulation_store import Database

_ENDS = (AttemptFailed, AttemptTimedOut, AttemptLost, AttemptCancelled, NodeCompleted)


async def check_streams(database: Database, namespace: Namespace, run_id: RunId, log: Sequence[RunEvent]) -> list[str]:
    """Say where the chunks of what has completed are not what it says that it streamed."""
    texts: dict[tuple[NodeKey, int, str | None, int], str] = defaultdict(str)
    faults: list[str] = []
    for event in log:
        if isinstance(event, NodeOutputChunk):
            texts[event.node, event.attempt, event.step, event.step_attempt] += event.text
        elif isinstance(event, NodeCompleted):
            said = _streamed(await _read(database, namespace, run_id, event.output))
            if said is not None and texts[event.node, event.attempt, None, 0] != said:
                faults.append(f"{event.node}#{event.attempt} streamed something else than {said[:60]!r}")
        elif isinstance(event, StepCompleted):
            said = _streamed(await _read(database, namespace, run_id, event.output))
            if said is not None and texts[event.node, event.attempt, event.step, event.step_attempt] != said:
                faults.append(f"{event.node} {event.step} streamed something else than {said[:60]!r}")
    return faults


def check_steps(run_id: RunId, log: Sequence[RunEvent], calls: Calls) -> list[str]:
    """Say which steps were done twice, or more often than they were begun, or went on without their attempt."""
    faults: list[str] = []
    begun: Counter[tuple[NodeKey, str]] = Counter()
    goes_on: set[tuple[NodeKey, str]] = set()
    done: set[tuple[NodeKey, str]] = set()
    for event in log:
        if isinstance(event, StepStarted):
            key = event.node, event.step
            begun[key] += 1
            if key in done or key in goes_on:
                faults.append(f"begins {event.node} {event.step} again at {event.sequence}")
            goes_on.add(key)
        elif isinstance(event, StepCompleted | StepFailed):
            goes_on = {key for key in goes_on if key[0] != event.node or not f"{key[1]}/".startswith(f"{event.step}/")}
            if isinstance(event, StepCompleted):
                done.add((event.node, event.step))
        elif isinstance(event, _ENDS):
            goes_on = {key for key in goes_on if key[0] != event.node}
    made = {key: count for key, count in calls.steps.items() if key[0] == run_id}
    faults += [
        f"did {node} {step} {count} times, of {begun[NodeKey(node), step]}"
        for (_, node, step), count in made.items()
        if count > begun[NodeKey(node), step]
    ]
    faults += [f"has {node} {step} done by nobody" for node, step in done if (run_id, node.id, step) not in made]
    run = fold(log)
    if run.progressed or any(node.progress is not None for node in run.nodes):
        faults.append(f"has still progressed by {run.progressed}")
    return faults


async def _read(database: Database, namespace: Namespace, run_id: RunId, value: Value) -> Json:
    data = bytes(value.json)
    if value.sha256 is not None:
        data = await database.runs.value(namespace, run_id, value.sha256)
    return json.loads(data)


def _streamed(output: Json) -> str | None:
    return output.get("streamed") if isinstance(output, dict) else None
