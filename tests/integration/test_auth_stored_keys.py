"""API keys in the table of a store: who is let in by them, and for how long."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from gql_app.bootstrap import key_records
from gql_app.core.access import Scope
from gql_app.core.errors import StoreUnavailableError
from gql_app.core.ids import Namespace
from gql_app.ports import KeyRecord, KeyRecords
from gql_app.settings import Settings
from gql_app.storage.sql.upkeep import upgrade
from gql_app.web.app import create_app
from gql_app.web.auth.gate import DeadKeyError, TokenGate, UnknownKeyError
from gql_app.web.auth.key_sources import StoredKeys, record_of
from gql_app.web.auth.keys import NewKey, make_key
from gql_app.web.auth.setup import AuthenticationSettingsError, look_for_keys, make_gate
from gql_app.web.server import ExposedError, check_exposure
from tests.support.stores import EMPTY_STORES
from tests.support.tokens import add_key, bearer

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=EMPTY_STORES)
async def settings(request: pytest.FixtureRequest) -> AsyncIterator[Settings]:
    async with EMPTY_STORES[request.param]() as store:
        made = Settings(store=store.url, keys_in_store=True)
        await upgrade(made)
        yield made


def connection(token: str) -> HTTPConnection:
    headers = [(name.encode(), value.encode()) for name, value in bearer(token).items()]
    return HTTPConnection({"type": "http", "headers": headers})


def new_key(name: str = "ci", *, expires_at: datetime | None = None) -> NewKey:
    return make_key(
        name=name, namespace=Namespace("team-a"), scopes=(Scope.READ,), created_at=NOW, expires_at=expires_at
    )


async def add(settings: Settings, key: NewKey) -> str:
    async with key_records(settings) as records:
        await records.add(record_of(key.kept))
    return key.text


async def revoke(settings: Settings, key: NewKey) -> bool:
    async with key_records(settings) as records:
        return await records.revoke(key.kept.id, NOW)


class PlayedRecords:
    """Keys whose store works or does not, as the test says; each look at them is noticed."""

    def __init__(self) -> None:
        self.records: list[KeyRecord] = []
        self.error: Exception | None = None
        self._looks = asyncio.Condition()
        self._count = 0

    async def read(self) -> Sequence[KeyRecord]:
        async with self._looks:
            self._count += 1
            self._looks.notify_all()
        if self.error is not None:
            raise self.error
        return list(self.records)

    async def add(self, record: KeyRecord) -> None:
        self.records.append(record)

    async def revoke(self, key_id: str, at: datetime) -> bool:
        raise NotImplementedError

    async def looked_at(self) -> None:
        """Wait until what is there now has been read."""
        async with self._looks:
            # The next look may have begun already; the one after that ends it.
            seen = self._count + 2
            await self._looks.wait_for(lambda: self._count >= seen)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[KeyRecords]:
        yield self


async def test_a_key_of_the_store_opens_the_gate_with_all_it_says(settings: Settings) -> None:
    token = await add(settings, new_key())
    gate = make_gate(settings)

    async with gate.opened():
        identity = await gate.admit(connection(token))

    assert (identity.name, str(identity.namespace), set(identity.scopes)) == ("ci", "team-a", {Scope.READ})


async def test_keys_of_file_and_store_are_let_in_side_by_side(settings: Settings, tmp_path: Path) -> None:
    by_store = await add(settings, new_key())
    by_file = add_key(tmp_path / "keys.json", "other")
    gate = make_gate(settings.model_copy(update={"keys_file": str(tmp_path / "keys.json")}))

    async with gate.opened():
        names = [(await gate.admit(connection(token))).name for token in (by_store, by_file)]

    assert names == ["ci", "other"]


async def test_a_key_that_is_revoked_in_the_store_ends_what_was_begun_with_it_in_every_server(
    settings: Settings,
) -> None:
    key = new_key()
    token = await add(settings, key)
    gates = [make_gate(settings) for _ in range(2)]

    async with gates[0].opened(), gates[1].opened():
        waiting = [asyncio.create_task(gate.until_invalid(await gate.admit(connection(token)))) for gate in gates]
        assert await revoke(settings, key)
        reasons = await asyncio.gather(*waiting)
        for gate in gates:
            with pytest.raises(DeadKeyError, match="has been revoked"):
                await gate.admit(connection(token))

    assert reasons == ["The API key has been revoked."] * 2


async def test_revoking_again_keeps_the_time_and_an_unknown_key_is_told(settings: Settings) -> None:
    key = new_key()
    await add(settings, key)

    async with key_records(settings) as records:
        first = await records.revoke(key.kept.id, NOW)
        second = await records.revoke(key.kept.id, NOW + timedelta(days=1))
        unknown = await records.revoke("0" * 12, NOW)
        [kept] = await records.read()

    assert (first, second, unknown) == (True, True, False)
    assert kept.revoked_at == NOW


async def test_a_key_that_is_made_while_the_gate_is_open_opens_it() -> None:
    played, key = PlayedRecords(), new_key()
    gate = TokenGate(keys=[StoredKeys(played.opened, poll_seconds=0)], tokens=None)

    async with gate.opened():
        with pytest.raises(UnknownKeyError):
            await gate.admit(connection(key.text))
        await played.add(record_of(key.kept))
        await played.looked_at()

        assert (await gate.admit(connection(key.text))).name == "ci"


@pytest.mark.parametrize("error", [StoreUnavailableError("it is away"), RuntimeError("no such table")])
async def test_while_the_store_is_in_trouble_the_last_known_keys_hold_on_and_health_says_so(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    played, key = PlayedRecords(), new_key()
    await played.add(record_of(key.kept))
    gate = TokenGate(keys=[StoredKeys(played.opened, poll_seconds=0)], tokens=None)

    async with gate.opened():
        played.error = error
        await played.looked_at()
        during = gate.problem()
        identity = await gate.admit(connection(key.text))
        played.error = None
        await played.looked_at()
        after = gate.problem()

    assert identity.name == "ci"
    assert during == "The store of API keys does not answer; those that were there hold on. The log says why."
    assert after is None
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


async def test_a_damaged_key_lets_nobody_in_and_keeps_no_other_out() -> None:
    played, good, damaged = PlayedRecords(), new_key("good"), new_key("damaged")
    await played.add(record_of(good.kept))
    await played.add(KeyRecord(damaged.kept.id, record_of(damaged.kept).data.replace('"name"', '"nam"')))
    await played.add(KeyRecord("0" * 12, record_of(damaged.kept).data))
    gate = TokenGate(keys=[StoredKeys(played.opened)], tokens=None)

    async with gate.opened():
        assert (await gate.admit(connection(good.text))).name == "good"
        with pytest.raises(UnknownKeyError):
            await gate.admit(connection(damaged.text))
        assert gate.problem() == "2 API keys in the store are damaged. The log says which."


async def test_a_gate_without_its_store_does_not_open() -> None:
    played = PlayedRecords()
    played.error = StoreUnavailableError("it is away")
    gate = TokenGate(keys=[StoredKeys(played.opened)], tokens=None)

    with pytest.raises(StoreUnavailableError):
        async with gate.opened():
            pass


async def test_a_store_that_has_keys_asks_for_them_unless_told_otherwise(settings: Settings) -> None:
    unsaid = settings.model_copy(update={"keys_in_store": None})

    before = await look_for_keys(unsaid)
    await add(settings, new_key())
    after = await look_for_keys(unsaid)

    assert (before.keys_in_store, after.keys_in_store) == (False, True)
    assert (await look_for_keys(settings.model_copy(update={"keys_in_store": False}))).keys_in_store is False
    assert (await look_for_keys(Settings())).keys_in_store is None
    check_exposure(after.model_copy(update={"host": "0.0.0.0"}))
    with pytest.raises(ExposedError):
        check_exposure(before.model_copy(update={"host": "0.0.0.0"}))


async def test_another_asgi_server_does_not_start_on_a_store_with_keys_before_it_is_told_what_to_do(
    settings: Settings,
) -> None:
    await add(settings, new_key())
    app = create_app(settings.model_copy(update={"keys_in_store": None}))

    with pytest.raises(AuthenticationSettingsError, match="GQL_APP_KEYS_IN_STORE=true"):
        async with app.router.lifespan_context(app):
            pass


def test_a_store_in_memory_has_no_keys() -> None:
    with pytest.raises(AuthenticationSettingsError, match="--store"):
        make_gate(Settings(keys_in_store=True))
