"""The keeper of one resource: opens it, again and again if need be, and closes it in the end."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol

from gql_app.core.values import Json
from gql_app.ports import Resource

logger: Final = logging.getLogger(__name__)

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0
CLOSING_SECONDS: Final = 10.0
"""How long a resource may take to close."""


class Dependency(Protocol):
    """A resource that another one needs."""

    resource: Resource[Json]
    settled: asyncio.Event
    opened: asyncio.Event
    value: Json
    problem: str | None
    """Why it is not open, if somebody knows; nothing that only a log may tell."""

    @property
    def next_try_at(self) -> float:
        """Tell when it is next tried to open it, by the loop's clock."""
        ...


class Given:
    """A resource that is there already."""

    def __init__(self, resource: Resource[Json], value: Json) -> None:
        self.resource: Resource[Json] = resource
        self.value: Json = value
        self.settled = self.opened = asyncio.Event()
        self.opened.set()
        self.problem: str | None = None
        self.next_try_at = 0.0


class Keeper:
    """Keeps a resource. One task enters and leaves its context, as some libraries insist on."""

    def __init__(self, resource: Resource[Json], needs: Mapping[str, Dependency]) -> None:
        self.resource: Resource[Json] = resource
        self.value: Json = None
        self.opened = asyncio.Event()
        """Whether it can be used."""
        self.settled = asyncio.Event()
        """Whether it has been tried to open it."""
        self.problem: str | None = None
        self._next_try_at = 0.0
        self._needs = needs
        self._closing = asyncio.Event()
        self._failures = 0
        self._task = asyncio.get_running_loop().create_task(self._keep())

    @property
    def next_try_at(self) -> float:
        """Tell when it is next tried to open it, or what it needs, by the loop's clock."""
        missing = (needed.next_try_at for needed in self._needs.values() if not needed.opened.is_set())
        return max(self._next_try_at, *missing, 0.0)

    async def close(self) -> None:
        """Close the resource; returns once it is closed, or has had its time to."""
        self._closing.set()
        if not self.opened.is_set():
            self._task.cancel()
        _, late = await asyncio.wait([self._task], timeout=CLOSING_SECONDS)
        if late:
            logger.warning("Resource %s did not close within %g s.", self.resource.name, CLOSING_SECONDS)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                await self._open()
            except (Exception, SystemExit) as error:
                # An edge: what a resource raises is its own trouble.
                if self._closing.is_set():
                    logger.warning("Resource %s could not be closed.", self.resource.name, exc_info=error)
                else:
                    await self._wait_after(error)

    async def _open(self) -> None:
        """Open the resource, and close it once that is asked for."""
        needs = {parameter: await self._value_of(needed) for parameter, needed in self._needs.items()}
        async with self.resource.open(**needs) as value:
            self.value = value
            self._failures, self.problem = 0, None
            self.opened.set()
            self.settled.set()
            try:
                await self._closing.wait()
            finally:
                self.opened.clear()
                self.problem = "the service shuts down"

    async def _value_of(self, needed: Dependency) -> Json:
        await needed.settled.wait()
        if not needed.opened.is_set():
            self.problem = f"it needs {needed.resource.name!r}, which could not be opened"
            self.settled.set()
            await needed.opened.wait()
        return needed.value

    async def _wait_after(self, error: BaseException) -> None:
        name, delay = self.resource.name, min(FIRST_DELAY * 2**self._failures, LONGEST_DELAY)
        trace = error if self._failures == 0 else None
        logger.warning(
            "Resource %s is not available (%s: %s); it is opened again in %g s.",
            name,
            type(error).__name__,
            error,
            delay,
            exc_info=trace,
        )
        self._failures += 1
        self.problem = f"opening it failed with {type(error).__name__}"
        self._next_try_at = asyncio.get_running_loop().time() + delay
        self.settled.set()
        await asyncio.sleep(delay)
