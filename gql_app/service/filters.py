"""Which events a watcher wants to be told of."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from gql_app.core.errors import InvalidArgumentError
from gql_app.core.events import (
    AttemptFailed,
    AttemptLost,
    AttemptTimedOut,
    Event,
    NodeLog,
    NodeOutputChunk,
    NodeProgress,
    RunEvent,
    StepFailed,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowTimedOut,
)
from gql_app.core.graph import nearest_name
from gql_app.core.run import WorkflowRun

_SHOWN: Final = 100


class UpdateTopic(StrEnum):
    """What events can be about."""

    STATUS = "STATUS"
    """Where the run, its nodes, their attempts and steps stand."""
    OUTPUT = "OUTPUT"
    """Text as it is streamed, and the failures that make it void."""
    LOG = "LOG"
    PROGRESS = "PROGRESS"


_STATUS: Final = frozenset({UpdateTopic.STATUS})
_VOIDS_OUTPUT: Final = frozenset({UpdateTopic.STATUS, UpdateTopic.OUTPUT})
_TOPICS: Final[Mapping[type[Event], frozenset[UpdateTopic]]] = {
    NodeOutputChunk: frozenset({UpdateTopic.OUTPUT}),
    NodeLog: frozenset({UpdateTopic.LOG}),
    NodeProgress: frozenset({UpdateTopic.PROGRESS}),
    AttemptFailed: _VOIDS_OUTPUT,
    AttemptTimedOut: _VOIDS_OUTPUT,
    AttemptLost: _VOIDS_OUTPUT,
    StepFailed: _VOIDS_OUTPUT,
}
"""What events are about that are not, or not only, about where something stands."""
_ENDS: Final = frozenset({WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowTimedOut})


class UpdateFilter(msgspec.Struct, frozen=True):
    """What a watcher is told. Equal filters let the same events pass, and their watchers share what they are told."""

    topics: frozenset[UpdateTopic] = frozenset(UpdateTopic)
    nodes: frozenset[str] | None = None
    """Only what these nodes do, and what is of no node."""

    def passes(self, event: RunEvent) -> bool:
        """Whether a watcher is told of an event; of the last one of a run everybody is."""
        kind = type(event)
        if _TOPICS.get(kind, _STATUS).isdisjoint(self.topics):
            return kind in _ENDS
        if self.nodes is None:
            return True
        node = getattr(event, "node", None)
        return node is None or node.id in self.nodes


EVERYTHING: Final = UpdateFilter()


def make_filter(run: WorkflowRun, only: Collection[UpdateTopic] | None, nodes: Sequence[str] | None) -> UpdateFilter:
    """Make the filter of what was asked for. Raises `InvalidArgumentError` for what lets nothing pass."""
    if only is not None and not only:
        raise InvalidArgumentError("only", [], "name one topic at least, or leave it out to be told everything.")
    if nodes is not None:
        _check_nodes(run, nodes)
    return UpdateFilter(
        EVERYTHING.topics if only is None else frozenset(only), None if nodes is None else frozenset(nodes)
    )


def _check_nodes(run: WorkflowRun, nodes: Sequence[str]) -> None:
    if not nodes:
        raise InvalidArgumentError("nodes", [], "name one node at least, or leave it out to be told of all.")
    known = run.topology.index
    for name in nodes:
        if name not in known:
            nearest = nearest_name(name[:_SHOWN], known)
            hint = f"did you mean {nearest!r}?" if nearest else "`workflow { nodes { id } }` tells them."
            raise InvalidArgumentError("nodes", name[:_SHOWN], f"the run has no node of this id; {hint}")
