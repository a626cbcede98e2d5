"""Looks after the health of the service."""

import logging
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Final

from gql_app.core.errors import StoreUnavailableError
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.listing import RunQuery
from gql_app.ports import Clock, Executor, ExecutorLoad, RunRepository
from gql_app.service.answers import Health, HealthCheck, HealthStatus
from gql_app.settings import Settings

logger: Final = logging.getLogger(__name__)


class Checkup:
    """Examines the parts of the service."""

    def __init__(self, repository: RunRepository, executor: Executor, clock: Clock, settings: Settings) -> None:
        self._repository = repository
        self._executor = executor
        self._clock = clock
        self._settings = settings
        self._started_at = clock.now()
        self._others: dict[str, Callable[[], str | None]] = {}

    def include(self, name: str, examine: Callable[[], str | None]) -> None:
        """Examine another part too: `examine` says what is wrong with it, if anything."""
        self._others[name] = examine

    async def examine(self) -> Health:
        """Tell how every part is."""
        load = self._executor.load()
        others = (_check(name, examine()) for name, examine in self._others.items())
        checks = (self._check_executor(load), await self._check_store(), *others)
        well = all(check.status is HealthStatus.OK for check in checks)
        return Health(
            status=HealthStatus.OK if well else HealthStatus.DEGRADED,
            checks=checks,
            version=_version(),
            uptime_seconds=(self._clock.now() - self._started_at).total_seconds(),
            leftovers=load.leftovers,
        )

    async def why_not_ready(self) -> str | None:
        """Say why no new runs are taken, if none are."""
        if not self._executor.load().accepting:
            return "The service is shutting down and accepts no new runs."
        return (await self._check_store()).message

    def _check_executor(self, load: ExecutorLoad) -> HealthCheck:
        if not load.accepting:
            return _check("executor", "It is shutting down and takes no new runs.")
        if load.leftovers >= self._settings.maximum_leftovers:
            return _check("executor", f"{load.leftovers} calls of tools go on although their attempts have ended.")
        if load.left:
            return _check("executor", f"{load.left} runs cannot be gone on with; the log says why.")
        return _check("executor", None)

    async def _check_store(self) -> HealthCheck:
        return _check("store", self._repository.problem() or await self._try_store())

    async def _try_store(self) -> str | None:
        try:
            await self._repository.list(DEFAULT_NAMESPACE, RunQuery(limit=1))
        except StoreUnavailableError as error:
            return str(error)
        except Exception:
            logger.exception("The store does not answer.")
            return "It does not answer; the log says why."
        return None


@cache
def _version() -> str:
    return version("gql-app")


def _check(name: str, message: str | None) -> HealthCheck:
    return HealthCheck(name=name, status=HealthStatus.DEGRADED if message else HealthStatus.OK, message=message)
