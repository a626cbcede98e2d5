"""What a view shows of a run: all that is known of it, node by node, wherever it runs."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from gql_app.cli.facts import node_of, usage_of
from gql_app.client import NodeRun, Usage, WorkflowRun
from gql_app.core import run


class Board(Protocol):
    """A run as it is now. It may be read while another one takes its place."""

    @property
    def name(self) -> str:
        """The workflow's name."""
        ...

    @property
    def status(self) -> str:
        """Where the run stands."""
        ...

    @property
    def started_at(self) -> datetime | None:
        """When it began."""
        ...

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        ...

    @property
    def usage(self) -> Usage | None:
        """What language models were used for."""
        ...

    def statuses(self) -> list[str]:
        """Tell where each node stands, in the order of the document."""
        ...

    def node(self, index: int) -> NodeRun:
        """Tell everything about a node."""
        ...


class LocalBoard:
    """A run in this process."""

    def __init__(self, shown: run.WorkflowRun, only: Sequence[str] | None = None) -> None:
        self._run = shown
        self._nodes = [node for node in shown.nodes if only is None or node.key.id in only]
        self.name = shown.plan.name
        self.status: str = shown.status
        self.started_at = shown.started_at
        self.finished_at = shown.finished_at
        self.usage = usage_of(shown.usage)

    def statuses(self) -> list[str]:
        """Tell where each node stands, in the order of the document."""
        return [node.status for node in self._nodes]

    def node(self, index: int) -> NodeRun:
        """Tell everything about a node."""
        return node_of(self._run, self._nodes[index])


class RemoteBoard:
    """A run on a server: as it was read, and changed by every update since."""

    def __init__(self, read: WorkflowRun, only: Sequence[str] | None = None) -> None:
        self._nodes = {node.id: node for node in read.nodes}
        self._order = [node.id for node in read.nodes if only is None or node.id in only]
        self.name = read.name
        self.status = read.status
        self.started_at = read.started_at
        self.finished_at = read.finished_at
        self.usage = read.usage

    def update(self, run: WorkflowRun, changed: Iterable[NodeRun]) -> None:
        """Let what an update tells be so."""
        self.status = run.status
        self.usage = run.usage
        for node in changed:
            if node.id not in self._nodes:
                self._order.append(node.id)
            self._nodes[node.id] = node
            self.started_at = self.started_at or node.started_at
            if run.finished:
                self.finished_at = max(filter(None, (self.finished_at, node.finished_at)), default=None)

    def statuses(self) -> list[str]:
        """Tell where each node stands, in the order of the document."""
        return [self._nodes[name].status for name in self._order]

    def node(self, index: int) -> NodeRun:
        """Tell everything about a node; those it waits for may have ended since it was read."""
        node = self._nodes[self._order[index]]
        wait = node.waiting_on
        if node.status != "PENDING" or wait is None or not wait.node_ids:
            return node
        still = tuple(name for name in wait.node_ids if name in self._nodes and not self._nodes[name].finished_at)
        return msgspec.structs.replace(
            node, waiting_on=msgspec.structs.replace(wait, node_ids=still) if still else None
        )
