"""A durable store that can be away for a while, lose an answer, or hold a damaged run."""

from collections.abc import Mapping, Sequence

from gql_app.core.errors import CorruptRunError, LeaseLostError, StoreUnavailableError
from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId
from gql_app.ports import IdempotencyKey
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.testing.virtual_time import VirtualClock


class TroubledRepository(MemoryRunRepository):
    """The store in memory, taken for one that survives the process; its trouble is switched on and off."""

    durable = True  # type: ignore[misc] # what is made of a durable store is the claim

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock(), settings=Settings())
        self.away = False
        self.values_are_away = False
        self.loses_answers = False
        self.lease_is_lost = False
        self.damaged: set[RunId] = set()

    async def create(
        self,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
        idempotency: IdempotencyKey | None = None,
    ) -> RunId:
        self._check()
        run_id = await super().create(events, values=values, idempotency=idempotency)
        self._answer()
        return run_id

    async def append(
        self,
        namespace: Namespace,
        run_id: RunId,
        expected_sequence: int,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
    ) -> None:
        self._check()
        if self.lease_is_lost:
            raise LeaseLostError(run_id, 1)
        await super().append(namespace, run_id, expected_sequence, events, values=values)
        self._answer()

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        self._check()
        if run_id in self.damaged:
            raise CorruptRunError(run_id, "its second event is no JSON")
        return await super().events(namespace, run_id, after=after, limit=limit)

    async def value(self, namespace: Namespace, run_id: RunId, sha256: str) -> bytes:
        if self.values_are_away:
            raise StoreUnavailableError("it is away")
        return await super().value(namespace, run_id, sha256)

    async def unfinished(self) -> Sequence[tuple[Namespace, RunId]]:
        self._check()
        return await super().unfinished()

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailableError("it is away")

    def _answer(self) -> None:
        if self.loses_answers:
            raise StoreUnavailableError("its answer was lost")
