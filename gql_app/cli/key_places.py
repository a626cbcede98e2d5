"""Where `gql-app keys` makes and revokes keys: in a file, or in a store."""

import argparse
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from gql_app.bootstrap import key_records
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.settings import load_settings
from gql_app.cli.stores import MEMORY, store_settings, with_store
from gql_app.files.private import PrivateFileError
from gql_app.ports import KeyRecords
from gql_app.settings import Settings
from gql_app.web.auth.key_file import read_keys
from gql_app.web.auth.key_sources import key_of, record_of
from gql_app.web.auth.key_writer import change_keys
from gql_app.web.auth.keys import ApiKey

T = TypeVar("T")
FIRST_KEY: Final = (
    "It is the first key of the store: servers that run there already ask for keys once they are started again,"
    " unless they have --keys-store."
)


class KeyPlace(Protocol):
    """Keys that a command is about. Every method raises `CommandError`."""

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    def read(self) -> Sequence[ApiKey]:
        """Tell all keys."""
        ...

    def add(self, key: ApiKey) -> str | None:
        """Add a key, and say what else is to be known, if anything."""
        ...

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key; tell whether there is such a key."""
        ...


def find_place(options: argparse.Namespace) -> KeyPlace:
    """Find where the keys stand: what is written on the command line comes before the environment."""
    settings = load_settings(keys_file=options.keys_file, store=options.store)
    if options.store or (not settings.keys_file and settings.store != MEMORY):
        return StorePlace(store_settings(options.store))
    if not settings.keys_file:
        message = "Say where the keys stand: --keys-file FILE (GQL_APP_KEYS_FILE), or --store URL (GQL_APP_STORE)."
        raise CommandError(message, ExitCode.INVALID)
    return FilePlace(Path(settings.keys_file))


class FilePlace:
    """A file of keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name: Final = str(path)

    def read(self) -> Sequence[ApiKey]:
        """Tell all keys."""
        try:
            return read_keys(self._path)
        except PrivateFileError as error:
            raise CommandError(str(error)) from None

    def add(self, key: ApiKey) -> str | None:
        """Add a key."""
        self._change(lambda keys: [*keys, key])
        return None

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key; tell whether there is such a key."""
        if all(key.id != key_id for key in self.read()):
            return False

        def revoked(key: ApiKey) -> ApiKey:
            return msgspec.structs.replace(key, revoked_at=key.revoked_at or at)

        self._change(lambda keys: [revoked(key) if key.id == key_id else key for key in keys])
        return True

    def _change(self, change: Callable[[Sequence[ApiKey]], Sequence[ApiKey]]) -> None:
        try:
            change_keys(self._path, change)
        except PrivateFileError as error:
            raise CommandError(str(error)) from None


class StorePlace:
    """The keys of a store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name: Final = "the store"

    def read(self) -> Sequence[ApiKey]:
        """Tell all keys, those that were made first before others."""

        async def read(records: KeyRecords) -> list[ApiKey]:
            return [key_of(record) for record in await records.read()]

        try:
            return sorted(self._do(read), key=lambda key: (key.created_at, key.id))
        except msgspec.MsgspecError as error:
            raise CommandError(f"A key in the store cannot be read: {error}.") from None

    def add(self, key: ApiKey) -> str | None:
        """Add a key."""

        async def add(records: KeyRecords) -> bool:
            await records.add(record_of(key))
            return len(await records.read()) == 1

        return FIRST_KEY if self._do(add, makes=True) else None

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Revoke a key; tell whether there is such a key."""
        return self._do(lambda records: records.revoke(key_id, at))

    def _do(self, work: Callable[[KeyRecords], Awaitable[T]], *, makes: bool = False) -> T:
        async def do() -> T:
            async with key_records(self._settings, makes=makes) as records:
                return await work(records)

        return with_store(do())
