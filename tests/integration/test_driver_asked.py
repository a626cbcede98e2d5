"""A signal is acknowledged once what follows from it is stored, and not with what was being stored when it came."""

import asyncio
from collections.abc import Mapping, Sequence

from gql_app.core.events import RunEvent, WorkflowStopping
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.signals import CancelRequested
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.testing.virtual_time import VirtualClock, run_on_virtual_time
from tests.support.builders import node
from tests.support.engine import engine, plain


class SlowRepository(MemoryRunRepository):
    """Takes a second for each append."""

    async def append(
        self,
        namespace: Namespace,
        run_id: RunId,
        expected_sequence: int,
        events: Sequence[RunEvent],
        *,
        values: Mapping[str, bytes],
    ) -> None:
        await asyncio.sleep(1)
        await super().append(namespace, run_id, expected_sequence, events, values=values)


async def hang(_: Json, __: ToolContext) -> Json:
    await asyncio.sleep(3600)


def test_a_cancel_that_comes_while_a_turn_is_stored_is_acknowledged_with_the_next() -> None:
    async def scenario() -> bool:
        repository = SlowRepository(clock=VirtualClock(), settings=Settings())
        async with engine(plain("work", hang), repository=repository) as made:
            run_id = await made.submit(node("a"))
            await asyncio.sleep(0.5)

            await made.executor.signal(DEFAULT_NAMESPACE, run_id, CancelRequested())

            return any(isinstance(event, WorkflowStopping) for event in await made.log(run_id))

    assert run_on_virtual_time(scenario())
