"""The tool that waits for a run: until it has ended or the time is over, and tells what happened meanwhile."""

from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC
from typing import Annotated, Final

import anyio
import msgspec
from msgspec import UNSET, Meta, UnsetType

from gql_app.cli.assistant.excerpts import Excerpt, page
from gql_app.cli.assistant.reporting import Report
from gql_app.cli.assistant.shapes import Answer, Asked
from gql_app.cli.assistant.starting import RunId
from gql_app.cli.assistant.views import NodeView, RunView, view_nodes, view_run
from gql_app.cli.narration import Narrator
from gql_app.cli.output import clean
from gql_app.cli.streamed import Streamed
from gql_app.client import (
    ClientError,
    ConnectionFailedError,
    NodeRun,
    RunEvent,
    WorkflowClient,
    WorkflowRun,
    WorkflowUpdate,
)

SHOWN_EVENTS: Final = 60
LINE_CHARACTERS: Final = 240
STREAMED_CHARACTERS: Final = 400
CHUNK_CHARACTERS: Final = 80
LONGEST_SECONDS: Final = 300
USUAL_SECONDS: Final = 30
SILENCE_SECONDS: Final = 5.0
"""After so long without news it is told that the wait goes on: clients give up on who is silent."""
PACE_SECONDS: Final = 0.2
"""Progress is not told more often than this."""

_FREQUENT: Final = frozenset({"NodeOutputChunk", "NodeProgress"})


class Watch(Asked, frozen=True, kw_only=True):
    """A run to wait for."""

    id: RunId
    after: (
        Annotated[
            int,
            Meta(
                description="Tell only what happened after this event: the `sequence` of the call before; 0 for all."
                " Without it, what happens from now on.",
                ge=0,
            ),
        ]
        | UnsetType
    ) = UNSET
    seconds: Annotated[
        float, Meta(description="How long to wait at most, if the run does not end.", ge=1, le=LONGEST_SECONDS)
    ] = USUAL_SECONDS


class Watched(Answer, frozen=True, kw_only=True):
    """What became of a run meanwhile."""

    workflow: RunView
    ended: Annotated[bool, Meta(description="Whether the run has ended; if not, call again with `after`.")]
    sequence: Annotated[int, Meta(description="The last event that was considered: the `after` of the next call.")]
    events: Annotated[
        tuple[str, ...], Meta(description="What happened, oldest first: sequence, time (UTC), what.")
    ] = ()
    earlier_events_left_out: int = 0
    changed_nodes: Annotated[tuple[NodeView, ...], Meta(description="The nodes of which something happened.")] = ()
    changed_nodes_left_out: dict[str, int] = msgspec.field(default_factory=dict)
    output: Annotated[Excerpt, Meta(description="What the run put out, once it has completed.")] | UnsetType = UNSET
    note: str = ""


class _Seen:
    """What was seen of a run so far."""

    def __init__(self, after: int | None) -> None:
        self.sequence = after
        self.run: WorkflowRun | None = None
        self.ended = False
        self.failure: ClientError | None = None
        self.lost = ""
        self.nodes: dict[str, NodeRun] = {}
        self.lines: deque[str] = deque(maxlen=SHOWN_EVENTS)
        self.told = 0
        self.news = anyio.Event()
        self._narrator = Narrator()
        self._streamed = Streamed()
        self._last = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.failure is not None

    def accept(self, update: WorkflowUpdate) -> None:
        """Take in what an update tells."""
        self.sequence, self.run, self.lost = update.sequence, update.workflow, ""
        self.nodes |= {node.id: node for node in update.changed_nodes}
        for event in update.events:
            self._tell(event)
        self.news.set()

    def lose(self, reason: str, _: float) -> None:
        """Note that the connection broke and will be made again."""
        self.lost = f"The connection to the service was lost ({reason}) and is being made again."
        self.news.set()

    def describe(self) -> tuple[float, str]:
        """Say how far the run is, and what happened last."""
        progress = self.run.progress if self.run is not None else None
        done = f"{progress.completed} of {progress.total} nodes" if progress else "waiting"
        last = self.lost or self._last
        return progress.fraction if progress else 0.0, f"{done}; {last}" if last else done

    def streamed(self) -> dict[str, str]:
        """Give the ends of the texts of nodes that have not ended."""
        return {name: self._streamed.text(name)[-STREAMED_CHARACTERS:] for name in self.nodes}

    def _tell(self, event: RunEvent) -> None:
        """Note what happened. Texts and progress come often, and are told by where they have come to."""
        self._streamed.tell(event)
        what, where = clean(self._narrator.describe(event), LINE_CHARACTERS), event.node_id or "the run"
        if event.kind == "NodeOutputChunk":
            what = f"…{clean(self._streamed.text(where)[-CHUNK_CHARACTERS:])}"
        self._last = f"{where}: {what}"
        if event.kind not in _FREQUENT:
            at = event.at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]
            self.lines.append(f"{event.sequence} {at}Z {self._last}")
            self.told += 1


async def watch(client: WorkflowClient, asked: Watch, report: Report) -> Watched:
    """Wait for a run. The run goes on if the waiting is given up."""
    seen = _Seen(asked.after if asked.after is not UNSET else None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_follow, client, asked.id, seen)
        with anyio.move_on_after(asked.seconds):
            while not seen.is_over:
                with anyio.move_on_after(SILENCE_SECONDS):
                    await seen.news.wait()
                if not seen.is_over:
                    seen.news = anyio.Event()
                    await report(*seen.describe())
                    await anyio.sleep(PACE_SECONDS)
        tasks.cancel_scope.cancel()
    if seen.failure is not None and not (seen.run and isinstance(seen.failure, ConnectionFailedError)):
        raise seen.failure
    return await _conclude(client, asked.id, seen)


async def _follow(client: WorkflowClient, run_id: str, seen: _Seen) -> None:
    """Take in all that happens, until nothing more will."""
    try:
        async with aclosing(client.watch(run_id, after=seen.sequence, lost=seen.lose)) as updates:
            async for update in updates:
                seen.accept(update)
        seen.ended = True
    except ClientError as error:
        seen.failure = error
    seen.news.set()


async def _conclude(client: WorkflowClient, run_id: str, seen: _Seen) -> Watched:
    """Tell what was seen, and how the run is now."""
    note = seen.lost
    try:
        run = await client.get(run_id)
        nodes: Sequence[NodeRun] = [node for node in run.nodes if node.id in seen.nodes]
    except ClientError as error:
        if seen.run is None:
            raise
        run, nodes, note = seen.run, list(seen.nodes.values()), f"This is how it was when it was last seen: {error}"
    views, left_out = view_nodes(nodes, streamed=seen.streamed())
    completed = seen.ended and run.status == "COMPLETED"
    output = page(run.output, "", 0) if completed else UNSET
    if output and not output.is_whole:
        note = "The output is cut: get_workflow shows the rest, by `pointer` and `offset`."
    return Watched(
        workflow=view_run(run),
        ended=seen.ended,
        sequence=seen.sequence if seen.sequence is not None else run.sequence,
        events=tuple(seen.lines),
        earlier_events_left_out=seen.told - len(seen.lines),
        changed_nodes=views,
        changed_nodes_left_out=left_out,
        output=output,
        note=note,
    )
