"""What calls share: opened when the service starts, closed when it ends, and no trouble of the server's."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gql_app import Resource, RetryPolicy, ToolContext, resource, tool
from gql_app.bootstrap import application
from gql_app.core.errors import ResourceUnavailable
from gql_app.core.values import Json
from gql_app.ports import Tool
from gql_app.service import HealthStatus
from gql_app.settings import Role, Settings
from gql_app.testing import call_tool, on_virtual_time, run_on_virtual_time, run_workflow
from gql_app.testing.virtual_time import VirtualClock
from gql_app.tools.resource_pool import ResourcePool
from tests.support.postgres import shared_cluster
from tests.support.service import document
from tests.support.tools import ask_for_shared


class Book:
    """What happens to resources, in order; opening one fails as often as it is told to."""

    def __init__(self, **failures: int) -> None:
        self.lines: list[str] = []
        self._failures = failures

    def open(self, name: str) -> str:
        """Open one."""
        if self._failures.get(name, 0) > 0:
            self._failures[name] -= 1
            self.lines.append(f"{name} fails")
            raise ConnectionError(f"postgres://user:hunter2@host/{name}")
        self.lines.append(f"{name} opens")
        return name

    def close(self, name: str) -> None:
        """Close one."""
        self.lines.append(f"{name} closes")


def chain(book: Book) -> tuple[Resource[str], Resource[str], Resource[str]]:
    """Make three resources, each of which needs the one before it; the second is opened in a thread."""

    @resource
    async def first() -> AsyncIterator[str]:
        yield book.open("first")
        book.close("first")

    @resource
    def second(before: Annotated[str, first]) -> Iterator[str]:
        assert threading.current_thread() is not threading.main_thread()
        yield f"{before} {book.open('second')}"
        book.close("second")

    @resource
    async def third(before: Annotated[str, second]) -> AsyncIterator[str]:
        yield f"{before} {book.open('third')}"
        book.close("third")

    return first, second, third


def using(shared: Resource[str]) -> Tool:
    """Make a tool that tells what a resource is."""

    @tool(retry=RetryPolicy(maximum_attempts=5))
    async def use(context: ToolContext) -> str:
        return context.resource(shared)

    return use


def named(name: str) -> Json:
    """Write a document that calls a tool."""
    return document({"id": "a", "tool": name})


def test_resources_are_opened_before_what_needs_them_and_closed_after_it() -> None:
    book = Book()
    _, _, third = chain(book)

    result = run_workflow(named("use"), tools=[using(third)])

    assert result.output == {"a": "first second third"}
    assert book.lines == ["first opens", "second opens", "third opens", "third closes", "second closes", "first closes"]


def test_a_resource_is_shared_by_all_calls_also_in_threads_and_in_steps() -> None:
    @resource
    async def shared() -> AsyncIterator[list[str]]:
        yield []

    @tool
    async def on_the_loop(context: ToolContext) -> Json:
        async def work(inner: ToolContext) -> Json:
            inner.resource(shared).append("in a step")
            return await inner.step("deeper", deeper)

        async def deeper(inner: ToolContext) -> Json:
            inner.resource(shared).append("in a step of a step")

        context.resource(shared).append("on the loop")
        await context.step("one", work)
        await context.call_tool("two", "in_a_thread")
        return list(context.resource(shared))

    @tool
    def in_a_thread(context: ToolContext) -> None:
        context.resource(shared).append("in a thread")

    result = run_workflow(named("on_the_loop"), tools=[on_the_loop, in_a_thread])

    assert result.output == {"a": ["on the loop", "in a step", "in a step of a step", "in a thread"]}


def test_a_resource_that_cannot_be_opened_is_opened_again_and_its_tools_are_tried_again() -> None:
    book = Book(second=3)
    _, _, third = chain(book)

    result = run_workflow(named("use"), tools=[using(third)])

    assert result.output == {"a": "first second third"}
    assert book.lines[:7] == ["first opens", *["second fails"] * 3, "second opens", "third opens", "third closes"]
    failed, *_, last = result.nodes["a"].attempts
    assert failed.error is not None
    assert failed.error.type == "ResourceUnavailable"
    assert "'third' is not available: it needs 'second', which could not be opened" in failed.error.message
    assert last.started == 8


@on_virtual_time
async def test_a_resource_that_fails_is_in_the_log_and_the_health_and_the_service_works() -> None:
    book = Book(first=1)
    first, _, _ = chain(book)

    async with application(Settings(), tools=[using(first)], clock=VirtualClock()) as opened:
        before = await opened.service.health()
        await asyncio.sleep(2)
        after = await opened.service.health()

    [told] = [check for check in before.checks if check.name == "resources"]
    assert told.status is HealthStatus.DEGRADED
    assert told.message is not None
    assert told.message.startswith("The resource 'first' of tests.integration.test_resources is not available")
    assert "opening it failed with ConnectionError" in told.message
    assert "hunter2" not in told.message
    assert [check.status for check in after.checks if check.name == "resources"] == [HealthStatus.OK]
    assert book.lines == ["first fails", "first opens", "first closes"]


@on_virtual_time
async def test_a_service_without_resources_has_no_check_of_them() -> None:
    async with application(Settings(), clock=VirtualClock()) as opened:
        health = await opened.service.health()

    assert "resources" not in [check.name for check in health.checks]


@on_virtual_time
async def test_the_start_waits_for_a_slow_resource_but_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    @resource
    async def slow() -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield "slow"

    loop = asyncio.get_running_loop()
    with caplog.at_level(logging.WARNING):
        async with ResourcePool([slow]) as pool:
            assert loop.time() == 10
            with pytest.raises(ResourceUnavailable, match="'slow' is not available: it is being opened") as early:
                pool.get(slow)
            told = pool.problem()
            await asyncio.sleep(51)
            assert pool.get(slow) == "slow"
            assert pool.problem() is None

    assert early.value.retryable
    assert told is not None
    assert "it is still being opened" in told
    assert "Resources are still being opened: slow" in caplog.text


@on_virtual_time
async def test_a_resource_that_is_never_open_ends_with_the_service_all_the_same() -> None:
    @resource
    async def stuck() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield "never"

    async with ResourcePool([stuck]):
        pass

    assert asyncio.get_running_loop().time() == 10


@on_virtual_time
async def test_a_resource_that_does_not_close_is_left_and_the_others_are_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = Book()
    first, _, _ = chain(book)

    @resource
    async def sticky(before: Annotated[str, first]) -> AsyncIterator[str]:
        yield before
        await asyncio.Event().wait()

    @resource
    async def broken(before: Annotated[str, first]) -> AsyncIterator[str]:
        yield before
        raise LookupError("gone")

    async with ResourcePool([sticky, broken]) as pool:
        assert pool.get(sticky) == pool.get(broken) == "first"

    assert book.lines == ["first opens", "first closes"]
    assert "Resource sticky did not close within 10 s" in caplog.text
    assert "Resource broken could not be closed" in caplog.text
    with pytest.raises(ResourceUnavailable, match="the service shuts down"):
        pool.get(sticky)


@on_virtual_time
async def test_a_resource_that_nobody_knew_of_is_opened_when_it_is_asked_for() -> None:
    first, second, _ = chain(Book())

    async with ResourcePool([]) as pool:
        with pytest.raises(ResourceUnavailable, match="Import it in the module of the tool") as caught:
            pool.get(second)
        await asyncio.sleep(caught.value.retry_after or 0)

        assert (pool.get(first), pool.get(second)) == ("first", "first second")


@on_virtual_time
async def test_a_resource_whose_own_tasks_fail_is_opened_anew() -> None:
    opens: list[float] = []

    @resource
    async def shaky() -> AsyncIterator[int]:
        async with asyncio.TaskGroup() as group:
            opens.append(asyncio.get_running_loop().time())
            group.create_task(fail_in(30))
            yield len(opens)

    async def fail_in(seconds: float) -> None:
        await asyncio.sleep(seconds)
        raise ConnectionError("lost")

    async with ResourcePool([shaky]) as pool:
        assert pool.get(shaky) == 1
        await asyncio.sleep(30.5)
        with pytest.raises(ResourceUnavailable, match="ExceptionGroup"):
            pool.get(shaky)
        await asyncio.sleep(1)
        assert pool.get(shaky) == 2

    assert opens == [0, 31]


@pytest.mark.anyio
async def test_a_process_that_executes_nothing_opens_nothing() -> None:
    book = Book()
    first, _, _ = chain(book)
    cluster = shared_cluster()
    database = await cluster.create_database()

    for role in (Role.ALL, Role.API):
        configured = Settings(role=role, store=cluster.url_of(database), migrate=True)
        async with application(configured, tools=[using(first)]):
            book.lines.append(role)
    await cluster.drop_database(database)

    assert book.lines == ["first opens", "all", "first closes", "api"]


def test_a_test_gives_what_it_likes_instead_of_a_resource_and_what_that_needs() -> None:
    book = Book()
    _, second, third = chain(book)

    whole = run_workflow(named("use"), tools=[using(third)], resources={second: "fake"})
    one = call_tool(using(third), resources={third: "faked"})

    assert (whole.output, one.output) == ({"a": "fake third"}, "faked")
    assert book.lines == [
        "third opens",
        "third closes",
    ]


def test_a_tool_in_a_process_of_its_own_has_no_resources_and_is_told_so() -> None:
    result = call_tool(ask_for_shared)

    assert result.error is not None
    assert (result.error.type, result.error.retryable) == ("ResourceUnavailable", False)
    assert "'shared' is not available: a tool in a process of its own shares nothing" in result.error.message


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[list[int]], list[int], list[bool]]:
    """Draw what each resource needs of those before it, how often opening it fails, and whether it is async."""
    count = draw(st.integers(1, 6))
    needs = [draw(st.lists(st.sampled_from(range(number)), unique=True)) if number else [] for number in range(count)]
    failures = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return needs, failures, draw(st.lists(st.booleans(), min_size=count, max_size=count))


@given(graph=graphs(), wanted=st.sets(st.integers(0, 5), min_size=1))
@settings(max_examples=50, deadline=None)
def test_whatever_needs_what_all_is_opened_in_order_in_the_end_and_closed_in_reverse(
    graph: tuple[list[list[int]], list[int], list[bool]], wanted: set[int]
) -> None:
    needs, failures, is_async = graph
    book = Book(**{f"r{number}": count for number, count in enumerate(failures)})
    made: list[Resource[str]] = []
    for number, needed in enumerate(needs):
        opener = async_opener(book, f"r{number}") if is_async[number] else sync_opener(book, f"r{number}")
        made.append(Resource(f"r{number}", opener, needs={f"n{other}": made[other] for other in needed}))
    roots = [made[number] for number in wanted if number < len(made)]

    async def main() -> set[str]:
        async with ResourcePool(roots) as pool:
            await asyncio.sleep(1_000)
            assert pool.problem() is None
            return {pool.get(root) for root in roots}

    values = run_on_virtual_time(main())

    opened = [line.removesuffix(" opens") for line in book.lines if line.endswith("opens")]
    closed = [line.removesuffix(" closes") for line in book.lines if line.endswith("closes")]
    assert values == {root.name for root in roots}
    assert sorted(opened) == sorted(closed)
    assert len(set(opened)) == len(opened)
    for name in opened:
        for before in made[int(name[1:])].needs.values():
            assert opened.index(before.name) < opened.index(name)
            assert closed.index(before.name) > closed.index(name)


def async_opener(book: Book, name: str) -> Callable[..., AbstractAsyncContextManager[str]]:
    """Open a resource whatever it is given."""

    @asynccontextmanager
    async def opened(**_: str) -> AsyncIterator[str]:
        yield book.open(name)
        book.close(name)

    return opened


def sync_opener(book: Book, name: str) -> Callable[..., AbstractAsyncContextManager[str]]:
    """Open a resource in a thread, whatever it is given."""

    @resource
    def opened(**_: str) -> Iterator[str]:
        yield book.open(name)
        book.close(name)

    return opened.open
