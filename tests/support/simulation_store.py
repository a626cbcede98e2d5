"""A store that several processes share and that fails in every way a database can, as a seed has it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from random import Random
from typing import Final, TypeVar

from gql_app.core.errors import LeaseLostError, StoreUnavailableError
from gql_app.core.events import RunEvent, WorkflowSubmitted
from gql_app.core.ids import Namespace, RunId
from gql_app.core.listing import RunPage, RunQuery, RunSummary
from gql_app.core.signals import CancelRequested
from gql_app.ports import IdempotencyKey, Letter
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.testing.virtual_time import VirtualClock

T = TypeVar("T")


@dataclass
class Odds:
    """How probable each kind of trouble is with each call of the store."""

    delay: float = 0.0
    longest_delay: float = 0.0
    failure: float = 0.0
    lost_answer: float = 0.0


@dataclass
class Database:
    """What all processes share: the runs, the letters, and who may append."""

    random: Random
    settings: Settings
    odds: Odds = field(default_factory=Odds)
    epoch: int = 0
    holder: "SimulatedLease | None" = None
    down: bool = False
    history: list[str] = field(default_factory=list)
    letters: dict[int, Letter] = field(default_factory=dict)
    letter_ids: "count[int]" = field(default_factory=lambda: count(1))
    writers: dict[int, set[str]] = field(default_factory=dict)
    """Who has written in each epoch."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.runs = MemoryRunRepository(clock=VirtualClock(), settings=self.settings)

    def note(self, text: str) -> None:
        """Write a line of history."""
        self.history.append(f"{asyncio.get_running_loop().time():10.4f} {text}")

    def leave(self, namespace: Namespace, run_id: RunId, signal: CancelRequested | None) -> None:
        """Leave a letter for whoever executes."""
        letter = Letter(id=next(self.letter_ids), namespace=namespace, run_id=run_id, signal=signal)
        self.letters[letter.id] = letter
        self.news.set()

    def revoke(self) -> "SimulatedLease | None":
        """Let the next process have its turn; the one that had it does not know yet."""
        lease, self.holder = self.holder, None
        return lease


class SimulatedLease:
    """The right to append, for one epoch."""

    def __init__(self, database: Database, name: str) -> None:
        database.epoch += 1
        self.epoch: Final = database.epoch
        self.name: Final = name
        self._database = database
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether its holder knows that it is lost."""
        return self._over.is_set()

    async def lost(self) -> None:
        await self._over.wait()

    def lose(self) -> None:
        """Hear that it is lost."""
        self._over.set()

    async def release(self) -> None:
        self.lose()
        if self._database.holder is self:
            self._database.holder = None


class Connection:
    """The store as one process reaches it. Once it is cut, as the process is dead, nothing comes through any more."""

    durable: Final = True
    shared: Final = True

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name
        self._lease: SimulatedLease | None = None
        self.cut = False
        self.away = False
        """Whether this process alone cannot reach the store at the moment."""

    async def create(
        self,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
        idempotency: IdempotencyKey | None = None,
    ) -> RunId:
        first = events[0]
        assert isinstance(first, WorkflowSubmitted)
        writer = self._epoch()

        async def commit() -> RunId:
            run_id = await self._database.runs.create(events, values=values, idempotency=idempotency)
            if writer != self._database.epoch and run_id == first.run_id:
                self._database.leave(first.namespace, run_id, None)
            self._database.note(f"{self._name} created {run_id[-4:]}")
            return run_id

        return await self._exchange(commit)

    async def append(
        self,
        namespace: Namespace,
        run_id: RunId,
        expected_sequence: int,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
    ) -> None:
        lease, writer = self._lease, self._epoch()

        async def commit() -> None:
            self._check_writer(lease, writer, run_id)
            await self._database.runs.append(namespace, run_id, expected_sequence, events, values=values)
            told = ", ".join(f"{event.sequence} {type(event).__name__} {_subject(event)}" for event in events)
            self._database.note(f"{self._name} appended to {run_id[-4:]}: {told}")

        await self._exchange(commit)

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        return await self._exchange(lambda: self._database.runs.events(namespace, run_id, after=after, limit=limit))

    async def wait(self, namespace: Namespace, run_id: RunId, *, after: int) -> None:
        await self._exchange(lambda: self._database.runs.wait(namespace, run_id, after=after))

    async def value(self, namespace: Namespace, run_id: RunId, sha256: str) -> bytes:
        return await self._exchange(lambda: self._database.runs.value(namespace, run_id, sha256))

    async def summary(self, namespace: Namespace, run_id: RunId) -> RunSummary:
        return await self._exchange(lambda: self._database.runs.summary(namespace, run_id))

    async def list(self, namespace: Namespace, query: RunQuery) -> RunPage:
        return await self._exchange(lambda: self._database.runs.list(namespace, query))

    async def unfinished(self) -> Sequence[tuple[Namespace, RunId]]:
        return await self._exchange(self._database.runs.unfinished)

    async def delete(self, namespace: Namespace, run_id: RunId) -> None:
        await self._exchange(lambda: self._database.runs.delete(namespace, run_id))

    async def lead(self) -> SimulatedLease:
        while True:
            await self._reach()
            if self._database.holder is None:
                self._database.holder = self._lease = SimulatedLease(self._database, self._name)
                self._database.note(f"{self._name} leads in epoch {self._lease.epoch}")
                return self._lease
            await asyncio.sleep(1.0)

    async def send(self, namespace: Namespace, run_id: RunId, signal: CancelRequested) -> None:
        async def commit() -> None:
            await self._database.runs.summary(namespace, run_id)
            self._database.leave(namespace, run_id, signal)
            self._database.note(f"{self._name} sent a cancel of {run_id[-4:]}")

        await self._exchange(commit)

    async def letters(self, *, limit: int = 100) -> Sequence[Letter]:
        async def read() -> Sequence[Letter]:
            self._database.news.clear()
            return list(islice(self._database.letters.values(), limit))

        return await self._exchange(read)

    async def discard(self, letters: Sequence[Letter]) -> None:
        lease, writer = self._lease, self._epoch()

        async def commit() -> None:
            if not letters:
                return
            self._check_writer(lease, writer, letters[0].run_id)
            for letter in letters:
                self._database.letters.pop(letter.id, None)

        await self._exchange(commit)

    async def wait_for_letters(self) -> None:
        try:
            async with asyncio.timeout(5.0):
                await self._database.news.wait()
        except TimeoutError:
            return

    def problem(self) -> str | None:
        return "It is away." if self._unreachable else None

    async def close(self) -> None:
        """Let go of nothing: others use it."""

    def _check_writer(self, lease: SimulatedLease | None, writer: int | None, run_id: RunId) -> None:
        if writer is None or writer != self._database.epoch:
            if lease is not None:
                lease.lose()
            raise LeaseLostError(run_id, writer or 0)
        self._database.writers.setdefault(writer, set()).add(self._name)

    def _epoch(self) -> int | None:
        return None if self._lease is None or self._lease.over else self._lease.epoch

    @property
    def _unreachable(self) -> bool:
        return self.away or self._database.down

    async def _exchange(self, act: Callable[[], Awaitable[T]]) -> T:
        await self._reach()
        result = await act()
        await self._answer()
        return result

    async def _reach(self) -> None:
        await self._take_time()
        if self._unreachable or self._database.random.random() < self._database.odds.failure:
            raise StoreUnavailableError("it is away")

    async def _answer(self) -> None:
        await self._take_time()
        if self._unreachable or self._database.random.random() < self._database.odds.lost_answer:
            raise StoreUnavailableError("its answer was lost")

    async def _take_time(self) -> None:
        random, odds = self._database.random, self._database.odds
        if random.random() < odds.delay:
            await asyncio.sleep(random.choice([0.0, random.random() * odds.longest_delay]))
        if self.cut:
            await asyncio.get_running_loop().create_future()


def _subject(event: RunEvent) -> str:
    node = getattr(event, "node", None)
    return "" if node is None else f"{node}#{getattr(event, 'attempt', '')}"
