"""Where API keys stand: in a file, or in the store."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from gql_app.core.access import Identity
from gql_app.core.errors import StoreUnavailableError
from gql_app.files.watched import WatchedFile
from gql_app.ports import KeyRecord, KeyRecords
from gql_app.web.auth.key_file import read_keys
from gql_app.web.auth.keys import ApiKey

logger: Final = logging.getLogger(__name__)

POLL_SECONDS: Final = 2.0
"""How often keys in the store are read again."""


class KnownKey(NamedTuple):
    """A key, and who comes with it."""

    kept: ApiKey
    identity: Identity


KeyTable: TypeAlias = Mapping[str, KnownKey]


def read_key_table(path: Path) -> KeyTable:
    """Read all keys of a file by their ids. Raises `PrivateFileError`."""
    return _by_id(read_keys(path))


class KeySource(Protocol):
    """Keys that may change while one looks."""

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Follow the changes until the end of the block."""
        ...

    def find(self, key_id: str) -> KnownKey | None:
        """Find a key by its id."""
        ...

    def problem(self) -> str | None:
        """Say what is wrong with the keys, if anything. Everybody may hear it."""
        ...


class FileKeys:
    """Keys in a file. Raises `PrivateFileError` if it is broken from the beginning."""

    def __init__(self, path: Path) -> None:
        self._file: WatchedFile[KeyTable] = WatchedFile(path, read_key_table)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Do nothing: whoever looks for a key looks whether the file has changed."""
        yield

    def find(self, key_id: str) -> KnownKey | None:
        """Find a key by its id."""
        return self._file.content.get(key_id)

    def problem(self) -> str | None:
        """Say whether the file is broken."""
        if self._file.problem is None:
            return None
        return "The file of API keys is broken; those that stood there before hold on. The log says why."


class StoredKeys:
    """Keys in the store, which are read again every few seconds. What was read last holds on while they cannot be."""

    def __init__(
        self, open_records: Callable[[], AbstractAsyncContextManager[KeyRecords]], poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._open_records = open_records
        self._poll_seconds = poll_seconds
        self._read: Sequence[KeyRecord] = ()
        self._keys: KeyTable = {}
        self._problem: str | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Read the keys, and follow their changes until the end of the block. Raises what opening the store does."""
        async with self._open_records() as records:
            self._take(await records.read())
            following = asyncio.create_task(self._follow(records))
            try:
                yield
            finally:
                following.cancel()
                await asyncio.wait([following])

    def find(self, key_id: str) -> KnownKey | None:
        """Find a key by its id."""
        return self._keys.get(key_id)

    def problem(self) -> str | None:
        """Say whether the keys cannot be read."""
        return self._problem

    async def _follow(self, records: KeyRecords) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                self._take(await records.read())
            except Exception as error:  # noqa: BLE001 - a call of the store: whatever it is, it is logged, and looked again
                self._has_failed(error)

    def _has_failed(self, error: Exception) -> None:
        if self._problem is None:
            trace = None if isinstance(error, StoreUnavailableError) else error
            logger.error("API keys cannot be read; those that were there hold on: %s", error, exc_info=trace)
        self._problem = "The store of API keys does not answer; those that were there hold on. The log says why."

    def _take(self, read: Sequence[KeyRecord]) -> None:
        if read == self._read and self._problem is None:
            return
        keys: list[ApiKey] = []
        damaged: list[str] = []
        for record in read:
            try:
                keys.append(key_of(record))
            except msgspec.MsgspecError as error:
                damaged.append(record.id)
                logger.error("The API key %s in the store cannot be read, and lets nobody in: %s", record.id, error)
        self._read, self._keys = read, _by_id(keys)
        self._problem = f"{len(damaged)} API keys in the store are damaged. The log says which." if damaged else None


def key_of(record: KeyRecord) -> ApiKey:
    """Read a key of the store. Raises `msgspec.MsgspecError`."""
    key = msgspec.json.decode(record.data, type=ApiKey)
    if key.id != record.id:
        raise msgspec.ValidationError(f"it says that it is {key.id!r}")
    return msgspec.structs.replace(key, revoked_at=record.revoked_at or key.revoked_at)


def record_of(key: ApiKey) -> KeyRecord:
    """Write a key for the store."""
    return KeyRecord(key.id, msgspec.json.encode(key).decode())


def _by_id(keys: Sequence[ApiKey]) -> KeyTable:
    return {key.id: KnownKey(key, key.identity) for key in keys}
