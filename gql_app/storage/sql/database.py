"""A database, as the store uses it: pieces of work that are carried out on a connection, in one transaction each."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError

from gql_app.core.errors import StoreUnavailableError

T = TypeVar("T")

_OUR_FAULT: Final = (DataError, IntegrityError, ProgrammingError)
"""Errors that would come again however often one tried."""


class Database(Protocol):
    """Where the tables are. Work is done in a thread or a greenlet: it must not touch the event loop."""

    name: str
    """What to call it in messages: without a password."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do something that changes nothing. Raises `StoreUnavailableError`."""
        ...

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction, one after the other; it is committed when this returns.

        Raises `StoreUnavailableError`: then nobody knows whether it was.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


def unavailable(error: BaseException) -> StoreUnavailableError | None:
    """Tell whether an error says that the database cannot be used at the moment."""
    if isinstance(error, StoreUnavailableError):
        return error
    if isinstance(error, _OUR_FAULT):
        return None
    if isinstance(error, DBAPIError):
        return StoreUnavailableError(_first_line(error.orig))
    if isinstance(error, SQLAlchemyError | OSError | TimeoutError):
        return StoreUnavailableError(_first_line(error))
    return None


def _first_line(error: BaseException | None) -> str:
    # A driver's own text, which names neither a password nor what was to be written.
    lines = str(error).strip().splitlines()
    return lines[0].removeprefix("<class 'asyncpg.exceptions.").strip() if lines else type(error).__name__
