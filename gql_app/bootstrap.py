"""The composition root: alone names the concrete classes, and knows in which order they close."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Final

from gql_app.agents.tool import add_agents
from gql_app.core.errors import InvalidStoreError, MissingExtraError
from gql_app.engine.clock import SystemClock
from gql_app.engine.elected import ElectedExecutor
from gql_app.engine.executor import AsyncioExecutor
from gql_app.mcp.config import ServerConfig, read_servers
from gql_app.ports import Clock, Evaluator, Executor, KeyRecords, RunRepository, Secrets, Tool, Tools
from gql_app.sandbox.sandbox import Sandbox
from gql_app.service import WorkflowService
from gql_app.settings import Role, Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.telemetry.instruments import Instruments
from gql_app.telemetry.logs import redacted
from gql_app.tools.builtin import builtin_tools
from gql_app.tools.equipped import equipped
from gql_app.tools.plugins import load_plugins
from gql_app.tools.registry import ToolRegistry, load_tools
from gql_app.vault.vault import make_vault

logger: Final = logging.getLogger(__name__)
MEMORY: Final = "memory"
"""The store that is gone with its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The parts of a service that is open."""

    service: WorkflowService
    repository: RunRepository
    executor: Executor
    tools: Tools
    instruments: Instruments
    settings: Settings
    parts: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    """What can be wrong with the tools, such as with MCP servers."""


@asynccontextmanager
async def application(
    settings: Settings,
    *,
    tools: Sequence[Tool] = (),
    instruments: Instruments | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Application]:
    """Open a service, which takes over the runs that have not ended, and close it at the end of the block.

    On closing, attempts in flight get their grace first; tools and the store go once nothing uses them. Raises
    `InvalidStoreError`, `StoreInUseError` and `MissingExtraError` for a store that cannot be opened.
    """
    instruments = instruments or Instruments(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(instruments.close)
        opened = await _open(stack, settings, clock or SystemClock(), tools, instruments)
        instruments.observe(load=opened.executor.load, is_tool=lambda name: name in opened.tools.definitions())
        yield opened


async def _open(
    stack: AsyncExitStack, settings: Settings, clock: Clock, tools: Sequence[Tool], instruments: Instruments
) -> Application:
    vault, sandbox = make_vault(settings), Sandbox(settings)
    stack.enter_context(redacted(vault.hide))
    repository = await stack.enter_async_context(_open_store(settings, clock))
    stack.push_async_callback(sandbox.close)
    registry = await stack.enter_async_context(opened_tools(settings, tools, evaluator=sandbox, secrets=vault))
    make_executor = partial(
        AsyncioExecutor,
        repository=repository,
        tools=await _equip(stack, settings, registry),
        evaluator=sandbox,
        clock=clock,
        settings=settings,
        secrets=vault,
        monitor=instruments.monitor,
    )
    executor = ElectedExecutor(repository, make_executor)
    stack.push_async_callback(executor.close)
    await executor.open(stands_by=repository.shared, executes=settings.role is Role.ALL)
    service = WorkflowService(
        repository=repository,
        executor=executor,
        evaluator=sandbox,
        tools=registry,
        clock=clock,
        settings=settings,
        secrets=vault,
        monitor=instruments.monitor,
    )
    return Application(
        service=service,
        repository=repository,
        executor=executor,
        tools=registry,
        instruments=instruments,
        settings=settings,
        parts=_included_in_health(service, registry),
    )


async def _equip(stack: AsyncExitStack, settings: Settings, registry: ToolRegistry) -> Tools:
    """Open what the calls of tools share, in a process that calls any."""
    if settings.role is Role.API:
        return registry
    tools, resources = await stack.enter_async_context(equipped(registry))
    if len(resources):
        registry.include_part("resources", resources.problem)
    return tools


def _included_in_health(service: WorkflowService, registry: ToolRegistry) -> Mapping[str, Callable[[], str | None]]:
    parts = registry.parts()
    for name, examine in parts.items():
        service.include_in_health(name, examine)
    return parts


@asynccontextmanager
async def opened_tools(
    settings: Settings, tools: Sequence[Tool] = (), *, evaluator: Evaluator | None = None, secrets: Secrets
) -> AsyncIterator[ToolRegistry]:
    """Open the tools that there are, and the MCP servers that have some.

    Raises `InvalidToolError`, `InvalidMcpServersError` and `MissingExtraError`.
    """
    configs = check_servers(settings, secrets)
    async with make_registry(settings, tools, evaluator=evaluator) as registry:
        for fault in registry.faults:
            logger.warning("Tools could not be loaded: %s", fault)
        if not configs:
            yield registry
            return
        # What talks to MCP servers is an extra.
        from gql_app.mcp.opening import opened_servers  # noqa: PLC0415 - see the line above

        async with opened_servers(configs, settings, secrets=secrets, publish=registry.publish) as servers:
            for server in servers:
                registry.include_part(f"mcp.{server.name}", server.problem)
            yield registry


def check_servers(settings: Settings, secrets: Secrets) -> Mapping[str, ServerConfig]:
    """Read which MCP servers there are. Raises `InvalidMcpServersError` and `MissingExtraError`."""
    configs = read_servers(settings, secrets)
    if configs and find_spec("mcp") is None:
        raise MissingExtraError("GQL_APP_MCP_SERVERS" if settings.mcp_servers else "GQL_APP_MCP_FILE", "mcp")
    return configs


@asynccontextmanager
async def _open_store(settings: Settings, clock: Clock) -> AsyncIterator[RunRepository]:
    if settings.store == MEMORY:
        if settings.role is Role.API:
            raise InvalidStoreError("A store in memory is for one process, which executes its runs: leave --role out.")
        memory = MemoryRunRepository(clock=clock, settings=settings)
        try:
            yield memory
        finally:
            await memory.close()
        return
    try:
        # What reads and writes databases is an extra.
        from gql_app.storage.sql.opening import opened  # noqa: PLC0415 - see the line above
    except ModuleNotFoundError:
        raise MissingExtraError(
            "GQL_APP_STORE", "postgres" if settings.store.startswith("postgres") else "sqlite"
        ) from None
    async with opened(settings, clock=clock) as repository:
        yield repository


@asynccontextmanager
async def key_records(settings: Settings, *, makes: bool = True) -> AsyncIterator[KeyRecords]:
    """Open the API keys beside the runs of a store, which is made if it is a file that is not there.

    Raises what `application` does for a store, also if the caller does not make one (`makes`) and it is not there.
    """
    if settings.store == MEMORY:
        raise InvalidStoreError("A store in memory has no API keys.")
    try:
        # What reads and writes databases is an extra.
        from gql_app.storage.sql.key_table import SqlKeyRecords  # noqa: PLC0415 - see the line above
        from gql_app.storage.sql.upkeep import opened_database  # noqa: PLC0415 - see the line above
    except ModuleNotFoundError:
        raise MissingExtraError(
            "GQL_APP_STORE", "postgres" if settings.store.startswith("postgres") else "sqlite"
        ) from None
    async with opened_database(settings, makes=makes) as database:
        yield SqlKeyRecords(database)


async def check_store(settings: Settings) -> None:
    """Open the store and close it again, so that what is wrong with it is known before anything else begins.

    Raises `InvalidStoreError`, `StoreInUseError`, `StoreUnavailableError` and `MissingExtraError`.
    """
    async with _open_store(settings, SystemClock()) as repository:
        if repository.durable and not repository.shared:
            await (await repository.lead()).release()


def make_registry(
    settings: Settings, tools: Sequence[Tool] = (), *, evaluator: Evaluator | None = None
) -> ToolRegistry:
    """Gather the tools that ship, those of the modules in the settings, `tools`, and those of plug-ins.

    Raises `InvalidToolError` for what somebody named; what plug-ins got wrong the registry tells.
    """
    evaluator = evaluator or Sandbox(settings)
    registry = ToolRegistry([*builtin_tools(settings, evaluator), *load_tools(settings.tools), *tools])
    for plugin in load_plugins():
        registry.bring(plugin.tools, origin=plugin.origin, fault=plugin.fault)
    add_agents(registry, settings)
    return registry
