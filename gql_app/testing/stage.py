"""The real service, engine and store in memory, put together for one test."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from types import ModuleType, TracebackType
from typing import Final, Self, TypeAlias

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from gql_app.bootstrap import make_registry
from gql_app.core.errors import InvalidToolError, WorkflowAlreadyFinishedError
from gql_app.core.events import RunEvent
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.plan import ToolDefinition
from gql_app.core.planning import ABSENT
from gql_app.core.values import Json
from gql_app.engine.clock import SystemClock
from gql_app.engine.elected import ElectedExecutor
from gql_app.engine.executor import AsyncioExecutor
from gql_app.ports import Clock, Resource, Tool, Tools
from gql_app.sandbox.sandbox import Sandbox
from gql_app.service import WorkflowService
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.testing.results import RunResult, describe_run
from gql_app.testing.scripted import ScriptedTool
from gql_app.testing.virtual_time import VirtualClock, VirtualTimeLoop
from gql_app.tools.equipped import equipped
from gql_app.tools.registry import ToolRegistry, is_tool

Cast: TypeAlias = Tool | ScriptedTool | ModuleType
"""What plays in a test: a tool, a scripted one, or a module with tools."""

PAGE: Final = 1_000


class Stage:
    """A service for one test. `async with` it; time is virtual on a loop of virtual time, else real."""

    def __init__(
        self,
        tools: Iterable[Cast] = (),
        *,
        replacing: Iterable[Tool] = (),
        resources: Mapping[Resource[Json], Json] | None = None,
        secrets: Mapping[str, str] | None = None,
        settings: Mapping[str, Json] | None = None,
    ) -> None:
        cast = list(tools)
        self._scripted = [tool for tool in cast if isinstance(tool, ScriptedTool)]
        self._settings = _Isolated(**(settings or {}))
        self._sandbox = Sandbox(self._settings)
        self._registry = make_registry(self._settings, list(_real(cast)), evaluator=self._sandbox)
        self._resources = resources
        self._tools: Tools = _Tools(self._registry, [*replacing, *self._stand_ins()])
        self._secrets = _Secrets(secrets or {})
        self._clock: Clock = SystemClock()
        self._exit = AsyncExitStack()
        self._executor: AsyncioExecutor | None = None
        self._service: WorkflowService | None = None

    def _stand_ins(self) -> Iterator[Tool]:
        for scripted in self._scripted:
            yield scripted.stand_in(self._registry.find(scripted.name))

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualTimeLoop):
            self._clock = VirtualClock()
        await self._exit.enter_async_context(self._registry)
        opened = equipped(self._tools, replacing=self._resources)
        self._tools, _ = await self._exit.enter_async_context(opened)
        self._exit.push_async_callback(self._sandbox.close)
        repository = MemoryRunRepository(clock=self._clock, settings=self._settings)
        self._exit.push_async_callback(repository.close)
        executor = ElectedExecutor(repository, partial(self._make_executor, repository))
        self._exit.push_async_callback(executor.close)
        if isinstance(loop, VirtualTimeLoop):
            loop.hold_while(self._is_busy)
        await executor.open(stands_by=False)
        self._service = WorkflowService(
            repository=repository,
            executor=executor,
            evaluator=self._sandbox,
            tools=self._tools,
            clock=self._clock,
            settings=self._settings,
            secrets=self._secrets,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def run(self, document: Json, *, input: Json = ABSENT, cancel_after: float | None = None) -> RunResult:
        """Run a document to its end. Raises `InvalidWorkflowError`, and `ScriptError` if a script does not fit."""
        service = self._service
        assert service is not None
        run_id = (await service.submit(DEFAULT_NAMESPACE, document, input=input)).run_id
        try:
            async with asyncio.timeout(cancel_after):
                await self._ended(service, run_id)
        except TimeoutError:
            await self._cancel(service, run_id)
        for scripted in self._scripted:
            scripted.check()
        return await describe_run(
            service, await service.get(DEFAULT_NAMESPACE, run_id), [event async for event in _log(service, run_id)]
        )

    def _is_busy(self) -> bool:
        """Whether something real goes on: a call in a thread or process, or an evaluation in one."""
        return self._sandbox.busy or (self._executor is not None and self._executor.caller.invoker.threads_out > 0)

    def _make_executor(self, repository: MemoryRunRepository) -> AsyncioExecutor:
        self._executor = AsyncioExecutor(
            repository=repository,
            tools=self._tools,
            evaluator=self._sandbox,
            clock=self._clock,
            settings=self._settings,
            secrets=self._secrets,
            random=_longest,
        )
        return self._executor

    async def _ended(self, service: WorkflowService, run_id: RunId) -> None:
        async with aclosing(service.watch(DEFAULT_NAMESPACE, run_id)) as updates:
            async for _ in updates:
                pass

    async def _cancel(self, service: WorkflowService, run_id: RunId) -> None:
        with suppress(WorkflowAlreadyFinishedError):
            await service.cancel(DEFAULT_NAMESPACE, run_id, "The test cancels it.")
        await self._ended(service, run_id)


class _Tools:
    """The tools of a registry, some of them replaced."""

    def __init__(self, registry: ToolRegistry, replacing: Iterable[Tool]) -> None:
        self._registry = registry
        self._replacing: dict[str, Tool] = {}
        for tool in replacing:
            if self._replacing.setdefault(tool.definition.name, tool) is not tool:
                raise InvalidToolError(
                    f"There are two scripted tools named {tool.definition.name!r}: join their scripts."
                )

    def find(self, name: str) -> Tool | None:
        """Find a tool."""
        return self._replacing.get(name) or self._registry.find(name)

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        """Tell all definitions by name, sorted by it."""
        replaced = {name: tool.definition for name, tool in self._replacing.items()}
        return dict(sorted({**self._registry.definitions(namespace), **replaced}.items()))

    def why_missing(self, name: str, namespace: Namespace) -> str | None:
        """Say why a tool is not there."""
        return self._registry.why_missing(name, namespace)


class _Secrets:
    """The secrets of a test, which are for every namespace."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = dict(secrets)

    def names(self, namespace: Namespace) -> frozenset[str]:
        """Name them."""
        return frozenset(self._secrets)

    def value(self, namespace: Namespace, name: str) -> str | None:
        """Tell one."""
        return self._secrets.get(name)


class _Isolated(Settings):
    """Settings that no environment variable changes."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Json, **__: Json
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given, and nothing else."""
        return (init_settings,)


def _real(cast: Sequence[Cast]) -> Iterator[Tool]:
    for tool in cast:
        if isinstance(tool, ModuleType):
            yield from _tools_of(tool)
        elif not isinstance(tool, ScriptedTool):
            yield tool


def _tools_of(module: ModuleType) -> Sequence[Tool]:
    found = [value for value in vars(module).values() if is_tool(value)]
    if not found:
        raise InvalidToolError(f"Module {module.__name__!r} has no tools: put @tool above a function there.")
    return found


async def _log(service: WorkflowService, run_id: RunId) -> AsyncIterator[RunEvent]:
    after = 0
    while events := await service.events(DEFAULT_NAMESPACE, run_id, after=after, limit=PAGE):
        for event in events:
            yield event
        after = events[-1].sequence


def _longest() -> float:
    """Draw the longest delay of every jitter, so that a test takes the same time whenever it runs."""
    return 1.0
