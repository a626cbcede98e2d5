"""How long finished runs are kept: the rule that every store keeps, with the defaults of each."""

from datetime import timedelta
from typing import Final

import msgspec

from gql_app.settings import Settings


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """What finished runs may take together; None is no limit. Those that finished first go first."""

    runs: int | None
    age: timedelta | None
    value_bytes: int | None
    """Of their values. The run that finished last stays however big it is."""
    runs_each: int | None
    """Of each namespace."""


MEMORY: Final = Retention(runs=10_000, age=timedelta(days=1), value_bytes=1 << 30, runs_each=None)
"""What a store in memory keeps unless told otherwise."""
DURABLE: Final = Retention(runs=1_000_000, age=timedelta(days=30), value_bytes=None, runs_each=None)
"""What a store on a disk keeps unless told otherwise."""


def make_retention(settings: Settings, default: Retention) -> Retention:
    """Tell what a store keeps: what is set, and the default for what is not."""
    seconds = settings.retention_seconds
    return Retention(
        runs=settings.retention_runs or default.runs,
        age=default.age if seconds is None else timedelta(seconds=seconds),
        value_bytes=settings.retention_bytes or default.value_bytes,
        runs_each=settings.retention_runs_per_namespace or default.runs_each,
    )
