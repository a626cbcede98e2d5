"""What must hold after any number of crashes: by the store, by what subscribers saw, by what the tools have written."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import TypeAlias

from gql_app.core.events import (
    AttemptLost,
    AttemptStarted,
    NodeCompleted,
    NodeOutputChunk,
    RunEvent,
    StepCompleted,
    StepStarted,
)
from gql_app.core.fold import fold
from gql_app.core.ids import DEFAULT_NAMESPACE, NodeKey, RunId
from gql_app.core.listing import RunQuery
from gql_app.core.run import RunStatus
from gql_app.core.values import Json, Value
from gql_app.engine.clock import SystemClock
from gql_app.ports import RunRepository
from gql_app.settings import Settings
from gql_app.storage.sql.opening import opened
from tests.support.crash_workload import Workload

Logs: TypeAlias = dict[RunId, list[RunEvent]]


async def check(workload: Workload, store: str, record: Path, *, alone: bool = False) -> Logs:
    """Check everything that was promised, and give the logs of all runs.

    A server that was `alone` executes what it is told itself; a letter to another one may come after the end of a run.
    """
    calls = read_calls(record)
    logs: Logs = {}
    async with opened(Settings(store=store), clock=SystemClock()) as repository:
        await check_runs(repository, set(workload.acknowledged.values()))
        for run_id in workload.acknowledged.values():
            document = workload.documents[run_id]
            log = logs[run_id] = list(await repository.events(DEFAULT_NAMESPACE, run_id, after=0, limit=100_000))
            check_log(log, document)
            await check_shown(repository, run_id, log)
            await check_outputs(repository, run_id, log, document)
            mine = [call for call in calls if call["run"] == run_id]
            check_calls(log, [call for call in mine if call["step"] is None], document)
            check_steps(log, mine)
            watched = workload.watched[run_id].sequences
            assert watched == list(range(1, len(log) + 1)), f"the subscriber of {run_id} saw {watched}"
            check_cancelled(run_id, log, workload, alone=alone)
    return logs


async def check_runs(repository: RunRepository, acknowledged: set[RunId]) -> None:
    """Check that there is every run that was acknowledged, that no key has made two, and that all have ended."""
    page = await repository.list(DEFAULT_NAMESPACE, RunQuery(limit=100_000))
    assert {run.run_id for run in page.runs} == acknowledged
    assert await repository.unfinished() == []


def check_log(log: Sequence[RunEvent], document: Json) -> None:
    """Check that a log is dense and ends, and that nothing happens to a node after its end."""
    assert [event.sequence for event in log] == list(range(1, len(log) + 1))
    assert all(earlier.at <= later.at for earlier, later in pairwise(log))
    run = fold(log)
    assert run.status.final, f"{run.run_id} is {run.status}"
    assert all(node.status.final for node in run.nodes)
    assert run.progressed == 0
    assert len(run.nodes) == len(document["nodes"])
    completed: set[str] = set()
    for event in log:
        if isinstance(event, NodeCompleted):
            completed.add(event.node.id)
        assert not (isinstance(event, AttemptStarted) and event.node.id in completed), f"{event} after its node's end"


async def check_shown(repository: RunRepository, run_id: RunId, log: Sequence[RunEvent]) -> None:
    """Check that lists show the run as its log tells it."""
    run, shown = fold(log), await repository.summary(DEFAULT_NAMESPACE, run_id)
    assert (shown.status, shown.sequence, shown.finished_at) == (run.status, len(log), run.finished_at)


def check_cancelled(run_id: RunId, log: Sequence[RunEvent], workload: Workload, *, alone: bool) -> None:
    """Check that a run ended as it had to once its cancel was taken."""
    status = fold(log).status
    if run_id in workload.cancelled:
        assert status is RunStatus.CANCELLED or (status is RunStatus.COMPLETED and not alone)


async def check_outputs(repository: RunRepository, run_id: RunId, log: Sequence[RunEvent], document: Json) -> None:
    """Check that what tools returned can be read, also where it stands beside the log, and was streamed like that."""
    sizes = {node["id"]: node["input"]["size"] for node in document["nodes"]}
    streamed: dict[tuple[NodeKey, int, str | None, int], str] = defaultdict(str)
    for event in log:
        if isinstance(event, NodeOutputChunk):
            streamed[event.node, event.attempt, event.step, event.step_attempt] += event.text
        if isinstance(event, NodeCompleted):
            output = await read(repository, run_id, event.output)
            assert output["attempt"] == event.attempt
            assert output["text"] == "x" * sizes[event.node.id]
            assert output.get("streamed", "") == streamed[event.node, event.attempt, None, 0]
        if isinstance(event, StepCompleted):
            output = await read(repository, run_id, event.output)
            said = streamed[event.node, event.attempt, event.step, event.step_attempt]
            assert output.get("streamed", "") == said, f"{event} was streamed as {said!r}"


async def read(repository: RunRepository, run_id: RunId, value: Value) -> Json:
    """Read a value of a run, wherever it stands."""
    data = bytes(value.json)
    if value.sha256 is not None:
        data = await repository.value(DEFAULT_NAMESPACE, run_id, value.sha256)
    return json.loads(data)


def check_steps(log: Sequence[RunEvent], calls: Sequence[Json]) -> None:
    """Check that no step was begun once it was done, none done that was not begun, and all that were done reported."""
    begun: Counter[tuple[str, str]] = Counter()
    done: set[tuple[str, str]] = set()
    for event in log:
        if isinstance(event, StepStarted):
            assert (event.node.id, event.step) not in done, f"{event} after the step's end"
            begun[event.node.id, event.step] += 1
        if isinstance(event, StepCompleted):
            done.add((event.node.id, event.step))
    made = Counter((call["node"], call["step"]) for call in calls if call["step"] and call["what"] == "start")
    ended = {(call["node"], call["step"]) for call in calls if call["what"] == "end"}
    assert all(count <= begun[key] for key, count in made.items()), f"more steps were done than begun: {made - begun}"
    assert done <= ended
    keys = {(call["node"], call["step"], call["key"]) for call in calls}
    assert len(keys) == len({(node, step) for node, step, _ in keys}), "the idempotency key of a step changed"


def check_calls(log: Sequence[RunEvent], calls: Sequence[Json], document: Json) -> None:
    """Check the calls of a run: each for an attempt that was stored before, none twice, and all that were reported."""
    started = {(event.node.id, event.attempt) for event in log if isinstance(event, AttemptStarted)}
    completed = {(event.node.id, event.attempt) for event in log if isinstance(event, NodeCompleted)}
    made = Counter((call["node"], call["attempt"]) for call in calls if call["what"] == "start")
    ended = {(call["node"], call["attempt"]) for call in calls if call["what"] == "end"}
    assert made.keys() <= started
    assert completed <= ended
    assert all(count == 1 for count in made.values()), f"an attempt was called twice: {made}"
    once = {node["id"] for node in document["nodes"] if node["retry"]["maximumAttempts"] == 1}
    for name in once:
        assert sum(count for (node, _), count in made.items() if node == name) <= 1
    keys = {(call["node"], call["key"]) for call in calls}
    assert len(keys) == len({node for node, _ in keys}), "the idempotency key of a node changed"


def check_turns(calls: Sequence[Json]) -> int:
    """Check that no process called a tool once another had begun to, and tell how many did."""
    turns = [process for process, _ in groupby(call["process"] for call in calls)]
    assert len(turns) == len(set(turns)), f"processes took turns: {turns}"
    return len(turns)


def lost(logs: Logs) -> set[tuple[RunId, str, int]]:
    """Tell which attempts died with their process."""
    return {
        (run_id, event.node.id, event.attempt)
        for run_id, log in logs.items()
        for event in log
        if isinstance(event, AttemptLost)
    }


def read_calls(record: Path) -> list[Json]:
    """Read what the tools have written."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
