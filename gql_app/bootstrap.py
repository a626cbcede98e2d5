"""The composition root: alone names the concrete classes, and knows in which order they close."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gql_app.engine.clock import SystemClock
from gql_app.engine.executor import AsyncioExecutor
from gql_app.ports import Evaluator, Executor, RunRepository, Tool, Tools
from gql_app.sandbox.sandbox import Sandbox
from gql_app.service import WorkflowService
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.telemetry.instruments import Instruments
from gql_app.telemetry.logs import redacted
from gql_app.tools.builtin import builtin_tools
from gql_app.tools.registry import ToolRegistry, load_tools
from gql_app.vault.vault import Vault, make_vault

logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The parts of a service that is open."""

    service: WorkflowService
    repository: RunRepository
    executor: Executor
    tools: Tools
    instruments: Instruments
    settings: Settings


@asynccontextmanager
async def application(
    settings: Settings, *, tools: Sequence[Tool] = (), instruments: Instruments | None = None
) -> AsyncIterator[Application]:
    """Open a service, take over the runs that have not ended, and close it at the end of the block.

    On closing, attempts in flight get their grace first; tools and the store go once nothing uses them.
    """
    instruments = instruments or Instruments(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(instruments.close)
        vault = make_vault(settings)
        stack.enter_context(redacted(vault.hide))
        opened = await _open(stack, settings, tools, instruments, vault)
        await _take_over(opened.repository, opened.executor)
        yield opened


async def _open(
    stack: AsyncExitStack, settings: Settings, tools: Sequence[Tool], instruments: Instruments, vault: Vault
) -> Application:
    sandbox = Sandbox(settings)
    registry = make_registry(settings, tools, evaluator=sandbox)
    clock = SystemClock()
    repository = MemoryRunRepository(clock=clock, settings=settings)
    stack.push_async_callback(repository.close)
    stack.push_async_callback(sandbox.close)
    await stack.enter_async_context(registry)
    executor = AsyncioExecutor(
        repository=repository,
        tools=registry,
        evaluator=sandbox,
        clock=clock,
        settings=settings,
        secrets=vault,
        monitor=instruments.monitor,
    )
    stack.push_async_callback(executor.close)
    instruments.observe(load=executor.load, is_tool=lambda name: registry.find(name) is not None)
    return Application(
        service=WorkflowService(
            repository=repository,
            executor=executor,
            evaluator=sandbox,
            tools=registry,
            clock=clock,
            settings=settings,
            secrets=vault,
            monitor=instruments.monitor,
        ),
        repository=repository,
        executor=executor,
        tools=registry,
        instruments=instruments,
        settings=settings,
    )


def make_registry(
    settings: Settings, tools: Sequence[Tool] = (), *, evaluator: Evaluator | None = None
) -> ToolRegistry:
    """Gather the tools that ship, those of the modules in the settings, and `tools`. Raises `InvalidToolError`."""
    evaluator = evaluator or Sandbox(settings)
    return ToolRegistry([*builtin_tools(settings, evaluator), *load_tools(settings.tools), *tools])


async def _take_over(repository: RunRepository, executor: Executor) -> None:
    """Go on with every run that has not ended. One that cannot be read keeps no other from it."""
    for namespace, run_id in await repository.unfinished():
        try:
            await executor.start(namespace, run_id)
        except Exception:
            logger.exception("Run %s cannot be taken over and is left as it is.", run_id)
