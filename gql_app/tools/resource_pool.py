"""The resources of a service: opened when it starts, closed in reverse order when it ends."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self, TypeVar

from gql_app.core.errors import ResourceUnavailable
from gql_app.core.values import Json
from gql_app.ports import Resource
from gql_app.tools.keeper import Given, Keeper

logger: Final = logging.getLogger(__name__)
T = TypeVar("T")

START_SECONDS: Final = 10.0
"""How long the start waits for resources; what takes longer is opened while the service serves."""
_SOON: Final = 1.0


class ResourcePool:
    """The resources that are open. `async with` it; what cannot be opened costs only the calls that want it."""

    def __init__(
        self, resources: Iterable[Resource[Json]], *, replacing: Mapping[Resource[Json], Json] | None = None
    ) -> None:
        self._resources = list(resources)
        self._replacing = replacing or {}
        self._keepers: dict[Resource[Json], Keeper | Given] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._keepers)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for resource in self._resources:
            self._keep(resource)
        try:
            await self._settled()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        # Whatever a resource needs was added before it.
        for keeper in reversed(list(self._keepers.values())):
            if isinstance(keeper, Keeper):
                await keeper.close()
        self._loop = None

    def get(self, resource: Resource[T]) -> T:
        """Give a resource; any thread may ask. Raises `ResourceUnavailable` for one that is not open."""
        keeper = self._keepers.get(resource)
        if keeper is not None and keeper.opened.is_set():
            value: T = keeper.value
            return value
        loop = self._loop
        if loop is None:
            raise _unavailable(resource.name, "the service shuts down.")
        if keeper is None:
            loop.call_soon_threadsafe(self._keep, resource)
            told = "nobody knew of it before it was asked for. Import it in the module of the tool that uses it."
            raise _unavailable(resource.name, told, retry_after=_SOON)
        reason = (keeper.problem if isinstance(keeper, Keeper) else None) or "it is being opened"
        after = keeper.next_try_at - loop.time() if isinstance(keeper, Keeper) else 0.0
        raise _unavailable(resource.name, f"{reason}. It is tried again.", retry_after=max(after, 0) + _SOON)

    def problem(self) -> str | None:
        """Say which resources are not open, if any."""
        closed = [(resource, keeper) for resource, keeper in self._keepers.items() if not keeper.opened.is_set()]
        if not closed:
            return None
        (resource, keeper), *others = closed
        reason = keeper.problem or "it is still being opened"
        more = f", and so are {len(others)} more" if others else ""
        return (
            f"The resource {resource.name!r} of {resource.module} is not available{more}: {reason}; the log says more."
        )

    def _keep(self, resource: Resource[Json]) -> "Keeper | Given":
        """Begin to open a resource, and what it needs before it."""
        known = self._keepers.get(resource)
        if known is None:
            if resource in self._replacing:
                known = Given(resource, self._replacing[resource])
            else:
                known = Keeper(resource, {name: self._keep(needed) for name, needed in resource.needs.items()})
            self._keepers[resource] = known
        return known

    async def _settled(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                for keeper in self._keepers.values():
                    await keeper.settled.wait()
        except TimeoutError:
            slow = ", ".join(resource.name for resource, keeper in self._keepers.items() if not keeper.settled.is_set())
            logger.warning("Resources are still being opened: %s.", slow)


def _unavailable(name: str, reason: str, *, retry_after: float | None = None) -> ResourceUnavailable:
    return ResourceUnavailable(f"The resource {name!r} is not available: {reason}", retry_after=retry_after)
