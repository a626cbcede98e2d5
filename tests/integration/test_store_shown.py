"""What attempts have shown counts in a store, also where it was written before the store was opened."""

import pytest

from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.ports import RunRepository
from gql_app.settings import Settings
from gql_app.storage.sql.upkeep import upgrade
from tests.support.exports import big_value, bring, export, fill
from tests.support.stores import EMPTY_STORES
from tests.support.streams import StreamLog

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", EMPTY_STORES)
async def test_what_was_shown_before_the_store_was_opened_counts_with_the_values(name: str) -> None:
    output, values = big_value(1)
    log = StreamLog()
    log.start()
    log.chunk("x" * 10_000)
    log.log("y" * 1_000)
    log.progress(0.5)
    before = log.sequence
    log.complete(output=output)
    log.end()

    async def begin(repository: RunRepository) -> None:
        await repository.create(log.events[:3], values={})
        await repository.append(DEFAULT_NAMESPACE, log.run_id, 3, log.events[3:before], values={})

    async def end(repository: RunRepository) -> None:
        await repository.append(DEFAULT_NAMESPACE, log.run_id, before, log.events[before:], values=values)

    async with EMPTY_STORES[name]() as store, EMPTY_STORES[name]() as other:
        await fill(store, begin)
        await fill(store, end)
        [row] = await store.execute("SELECT value_bytes FROM runs")
        await upgrade(Settings(store=other.url))
        await bring(other, await export(store))
        [imported] = await other.execute("SELECT value_bytes FROM runs")

    shown = 10_000 + 1_000 + len("{}")
    assert shown + output.size <= row["value_bytes"] < shown + output.size + 400
    assert imported["value_bytes"] == shown + output.size
