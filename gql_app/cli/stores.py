"""The store that a command is about."""

from collections.abc import Coroutine
from typing import Final, TypeVar

from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.settings import load_settings
from gql_app.core.errors import WorkflowError
from gql_app.settings import Settings
from gql_app.web.loop import run as run_loop

T = TypeVar("T")
MEMORY: Final = "memory"


def store_settings(store: str | None) -> Settings:
    """Make the settings for a store. Raises `CommandError` if none is named that outlives its process."""
    settings = load_settings(store=store)
    if settings.store == MEMORY:
        message = "Say which store: --store sqlite:///runs.db or --store postgresql://user@host/database."
        raise CommandError(message, ExitCode.INVALID)
    return settings


def with_store(work: Coroutine[None, None, T]) -> T:
    """Do something with a store. Raises `CommandError` for a store that cannot be used."""
    try:
        return run_loop(work)
    except WorkflowError as error:
        raise CommandError(str(error)) from None
