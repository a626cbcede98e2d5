"""What must hold in every simulation, whatever happened."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.events import TERMINAL_EVENTS, AttemptStarted, NodeCompleted, RunEvent
from gql_app.core.fold import fold
from gql_app.core.ids import NodeKey, RunId
from gql_app.core.signals import SlotWanted
from gql_app.engine.buckets import Bucket
from gql_app.engine.limits import Concurrency
from gql_app.engine.slots import SlotPool
from gql_app.testing.virtual_time import NOON
from tests.support.simulation_calls import Calls
from tests.support.simulation_clients import EVERYTHING, Clients
from tests.support.simulation_process import Process
from tests.support.simulation_store import Database
from tests.support.simulation_streams import check_steps, check_streams

LONGEST_STOP = 40.0
"""Seconds until a cancel has been heard by whoever executes the run, and has stopped it."""


async def check_logs(database: Database, clients: Clients, calls: Calls) -> list[str]:
    """Say which logs, and which calls of tools, break a promise."""
    faults = [f"epoch {epoch} has the writers {names}" for epoch, names in database.writers.items() if len(names) > 1]
    for namespace, run_id in clients.acknowledged:
        try:
            log = await database.runs.events(namespace, run_id, after=0, limit=EVERYTHING)
        except WorkflowNotFoundError:
            faults.append(f"{run_id} was acknowledged and is not there")
            continue
        found = [*_check_log(log), *_check_calls(run_id, log, calls), *check_steps(run_id, log, calls)]
        found += await check_streams(database, namespace, run_id, log)
        faults += [f"{run_id} {fault}" for fault in found]
    faults += [f"{key} was called {times} times" for key, times in calls.count.items() if times > 1]
    faults += [f"{key} had the keys {keys}" for key, keys in calls.keys.items() if len(keys) > 1]
    faults += await _check_cancelled(database, clients)
    return faults


async def _check_cancelled(database: Database, clients: Clients) -> list[str]:
    """Say which runs went on although a cancel was acknowledged and nothing kept it from being heard."""
    faults: list[str] = []
    for namespace, run_id, told_at in clients.cancelled:
        run = await database.runs.summary(namespace, run_id)
        latest = NOON + timedelta(seconds=max(told_at, clients.calm_at or 0.0) + LONGEST_STOP)
        if run.finished_at is None or run.finished_at > latest:
            faults.append(f"{run_id} was cancelled at {told_at} and went on until {run.finished_at}")
    return faults


def _check_log(log: Sequence[RunEvent]) -> list[str]:
    faults: list[str] = []
    if [event.sequence for event in log] != list(range(1, len(log) + 1)):
        faults.append("has a gap in its log")
    if any(later.at < earlier.at for earlier, later in pairwise(log)):
        faults.append("goes back in time")
    ends = [isinstance(event, TERMINAL_EVENTS) for event in log]
    if ends.count(True) != 1 or not ends[-1]:
        faults.append("does not end with one terminal event")
    completed: set[NodeKey] = set()
    for event in log:
        if isinstance(event, AttemptStarted) and event.node in completed:
            faults.append(f"runs {event.node} again, which had completed")
        if isinstance(event, NodeCompleted):
            completed.add(event.node)
    return faults


def _check_calls(run_id: RunId, log: Sequence[RunEvent], calls: Calls) -> list[str]:
    run = fold(log)
    faults: list[str] = []
    for node in run.plan.nodes:
        times = sum(count for (owner, name, _), count in calls.count.items() if (owner, name) == (run_id, node.key.id))
        if times > node.retry.maximum_attempts:
            faults.append(f"called {node.key} {times} times, of {node.retry.maximum_attempts}")
    return faults


async def check_watched(database: Database, clients: Clients) -> list[str]:
    """Say which watchers were told something else than happened."""
    faults: list[str] = []
    for watched in clients.watched:
        log = await database.runs.events(watched.namespace, watched.run_id, after=0, limit=EVERYTHING)
        if not watched.ended:
            faults.append(f"a watcher of {watched.run_id} has not heard of its end")
        elif watched.events != [event for event in list(log)[watched.after :] if watched.wants(event)]:
            told = [event.sequence for event in watched.events]
            faults.append(f"a watcher of {watched.run_id} was told {told} after {watched.after} of {len(log)}")
        elif watched.shown is not None and watched.shown != fold(log):
            faults.append(f"a watcher of {watched.run_id} was shown something else than its log says")
    return faults


def _busy(pool: SlotPool) -> list[SlotWanted]:
    chains = (*pool._chains.values(), *pool._named.values(), (pool.executor,))
    limits = {limit for chain in chains for limit in chain}
    return [
        limit.wanted
        for limit in limits
        if limit.line
        or (isinstance(limit, Concurrency) and limit.in_use)
        or (isinstance(limit, Bucket) and limit.armed)
    ]


def check_rest(process: Process) -> list[str]:
    """Say what a process still holds although nothing is going on."""
    faults = []
    for executor in process.executors:
        load = executor.load()
        held = (load.runs, load.queued_runs, load.attempts, load.queued, load.leftovers, load.left)
        timers = [entry for entry in executor.timers._heap if entry[2].owner is not None]
        if any(held) or timers or executor._line.taken or executor._tasks or executor._opening:
            faults.append(f"{process.name} holds {load}, {len(timers)} timers, {executor._line.taken} places")
        faults += [f"{process.name} still has or wants {limit}" for limit in _busy(executor.pool)]
    return faults
