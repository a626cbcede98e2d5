"""An event loop for simulations: a seed decides in which order ready callbacks run, and every task has an owner."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from random import Random
from typing import Protocol

from gql_app.core.values import Json
from gql_app.testing.virtual_time import VirtualTimeLoop


class Owner(Protocol):
    """Whoever began a task, and so owns the tasks that it begins."""

    tasks: list["asyncio.Task[Json]"]


class SeededLoop(VirtualTimeLoop):
    """A loop on virtual time that permutes what is ready; timers keep their order."""

    _ready: "deque[asyncio.Handle]"
    """What the loop of the standard library keeps there, though no type says so; nor `_run_once`."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._owners: dict[asyncio.Task[Json], Owner] = {}
        self.next_owner: Owner | None = None
        self.complaints: list[str] = []
        """What nobody heard of: exceptions of tasks that nobody waited for."""
        super().__init__()
        # Typed for a newer Python, which passes more.
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]
        self.set_exception_handler(self._complain)

    def _run_once(self) -> None:
        ready = self._ready
        if len(ready) > 1:
            draw = self._random.random
            handles = sorted(ready, key=lambda handle: draw())
            ready.clear()
            ready.extend(handles)
        super()._run_once()  # type: ignore[misc]

    def begin(self, owner: Owner, work: Coroutine[None, None, Json]) -> "asyncio.Task[Json]":
        """Begin a task of this owner."""
        self.next_owner = owner
        return self.create_task(work)

    def owner_of(self, task: "asyncio.Task[Json] | None") -> Owner | None:
        """Tell whose task it is."""
        return None if task is None else self._owners.get(task)

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[None, None, Json], context: Context | None = None
    ) -> "asyncio.Task[Json]":
        task = asyncio.Task(work, loop=loop, context=context)
        owner, self.next_owner = self.next_owner or self.owner_of(asyncio.current_task(loop)), None
        if owner is not None:
            self._owners[task] = owner
            owner.tasks.append(task)
        return task

    def _complain(self, loop: asyncio.AbstractEventLoop, context: dict[str, Json]) -> None:
        self.complaints.append(f"{context['message']}: {context.get('exception')!r}")

    def forget(self) -> None:
        """Forget all tasks, so that those with errors that nobody has heard of are complained about."""
        self._owners.clear()
