"""`gql-app list`, `show`, `cancel`, `retry` and `delete`: what can be asked of the runs on a server."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from gql_app.cli.activity import describe_step, describe_usage, indent
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import clean, say, tell, to_json
from gql_app.cli.remote import connected
from gql_app.cli.table import align
from gql_app.cli.words import describe_end, describe_failure, describe_problems, describe_state, format_seconds
from gql_app.client import Budget, InvalidDocumentError, NodeRun, WorkflowClient, WorkflowRun
from gql_app.core.values import Json
from gql_app.web.loop import run as run_loop

PAGE: Final = 100
_LISTED: Final = (
    "id",
    "name",
    "status",
    "labels",
    "createdAt",
    "startedAt",
    "finishedAt",
    "durationSeconds",
    "retryOf",
)


def list_runs(options: argparse.Namespace) -> int:
    """List runs, newest first."""
    labels = _labels(options.label)
    return run_loop(_list(options, labels))


def show(options: argparse.Namespace) -> int:
    """Show a run and its nodes as they are now, or were."""
    return run_loop(_show(options))


def cancel(options: argparse.Namespace) -> int:
    """Stop a run."""
    return run_loop(_cancel(options))


def retry(options: argparse.Namespace) -> int:
    """Run a finished run's document again and write the new run's id."""
    return run_loop(_retry(options))


def delete(options: argparse.Namespace) -> int:
    """Remove a finished run."""
    return run_loop(_delete(options))


async def _list(options: argparse.Namespace, labels: dict[str, str]) -> int:
    async with connected(options) as client:
        runs = await _read_pages(client, options, labels)
    if options.json:
        say(to_json([_plain(run, _LISTED) for run in runs]))
        return ExitCode.OK
    rows = [("ID", "STATUS", "CREATED", "TOOK", "NAME")]
    rows += [
        (run.id, run.status, _instant(run.created_at), _took(run.duration_seconds), clean(run.name)) for run in runs
    ]
    if not runs:
        tell("There are no such runs.")
    else:
        say(align(rows))
    return ExitCode.OK


async def _read_pages(client: WorkflowClient, options: argparse.Namespace, labels: dict[str, str]) -> list[WorkflowRun]:
    runs: list[WorkflowRun] = []
    cursor: str | None = None
    wanted: int = options.first
    while len(runs) < wanted:
        page = await client.list(
            first=min(PAGE, wanted - len(runs)),
            after=cursor,
            statuses=options.status,
            name=options.name,
            labels=labels,
        )
        runs += page.runs
        cursor = page.end_cursor
        if not page.has_next_page or cursor is None:
            break
    return runs


async def _show(options: argparse.Namespace) -> int:
    async with connected(options) as client:
        run = await client.get(options.id, at=options.at)
        nodes = [await _with_steps(client, run, node, options.at) for node in run.nodes]
        run = msgspec.structs.replace(run, nodes=tuple(nodes))
    if options.json:
        say(to_json(_plain(run, tuple(msgspec.to_builtins(run)))))
        return ExitCode.OK
    say(f"{clean(run.name)}  {run.status}  {_took(run.duration_seconds)}".rstrip())
    now = run.updated_at if options.at is not None and run.updated_at is not None else datetime.now(UTC)
    say(align([row for node in run.nodes for row in _rows(node, now)]))
    if run.usage is not None:
        budget = f" of {_budget(run.budget)}" if run.budget is not None else ""
        say(f"used {describe_usage(run.usage)}{budget}")
    if run.error is not None:
        for line in describe_end(run)[:1]:
            say(line)
    return ExitCode.OK


async def _cancel(options: argparse.Namespace) -> int:
    async with connected(options) as client:
        run = await client.cancel(options.id, options.reason)
    say(f"{run.id} {run.status}")
    return ExitCode.OK


async def _retry(options: argparse.Namespace) -> int:
    try:
        async with connected(options) as client:
            run = await client.retry(options.id, options.from_)
    except InvalidDocumentError as error:
        for line in describe_problems(error.problems):
            tell(line)
        return ExitCode.INVALID
    say(run.id)
    return ExitCode.OK


async def _delete(options: argparse.Namespace) -> int:
    async with connected(options) as client:
        await client.delete(options.id)
    say(f"{options.id} deleted")
    return ExitCode.OK


async def _with_steps(client: WorkflowClient, run: WorkflowRun, node: NodeRun, at: int | None) -> NodeRun:
    """Add the first of a node's steps, if it has any."""
    if not node.step_count:
        return node
    return msgspec.structs.replace(node, steps=await client.steps(run.id, node.id, at=at))


def _rows(node: NodeRun, now: datetime) -> Iterator[tuple[str, ...]]:
    """Tell a node, and below it its steps."""
    attempts = f"{node.attempt}/{node.maximum_attempts}" if node.attempt else ""
    used = describe_usage(node.usage) if node.usage is not None else ""
    state = "  ".join(filter(None, (describe_state(node, now), used)))
    yield f"  {node.id}", node.status, attempts, _took(node.duration_seconds), state
    for step in node.steps:
        tries = f"{step.attempt}/{step.maximum_attempts}" if step.attempt else ""
        used = f"  {describe_usage(step.usage)}" if step.usage is not None else ""
        failed = f"  {describe_failure(step.error)}" if step.error is not None else ""
        does = f"{describe_step(step)}{used}{failed}"
        yield f"    {indent(step.id)}{clean(step.id, 40)}", step.status, tries, _took(step.duration_seconds), does
    if node.step_count > len(node.steps):
        yield f"    … and {node.step_count - len(node.steps)} more steps", "", "", "", ""


def _budget(budget: Budget) -> str:
    parts = [] if budget.tokens is None else [f"{budget.tokens:,} tokens"]
    return " and ".join(parts if budget.cost_usd is None else [*parts, f"${budget.cost_usd:.4f}"]) or "any amount"


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = dict(pair.partition("=")[::2] for pair in pairs)
    for pair in pairs:
        if "=" not in pair:
            raise CommandError(f"--label {pair!r} is not KEY=VALUE.", ExitCode.INVALID)
    return labels


def _plain(run: WorkflowRun, fields: tuple[str, ...]) -> Json:
    told = msgspec.to_builtins(run)
    return {name: told[name] for name in fields}


def _instant(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at is not None else ""


def _took(seconds: float | None) -> str:
    return format_seconds(seconds) if seconds is not None else ""
