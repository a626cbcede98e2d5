"""What `@resource` makes of a function, what it refuses, and where tools find resources."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Annotated, Self

import pytest

from gql_app import Resource, ToolContext, resource, tool
from gql_app.core.errors import InvalidToolError, ResourceUnavailable
from gql_app.core.values import Json
from gql_app.testing import run_on_virtual_time
from tests.support.tools import context_of


@resource
async def numbers() -> AsyncIterator[list[int]]:
    """Numbers."""
    opened = [1]
    yield opened
    opened.append(2)


@resource
def doubled(given: Annotated[list[int], numbers], factor: int = 2) -> Iterator[list[int]]:
    """Twice the numbers."""
    yield [number * factor for number in given]


@asynccontextmanager
async def managed() -> AsyncIterator[str]:
    yield "managed"


@contextmanager
def managed_in_a_thread() -> Iterator[str]:
    yield "in a thread"


class Client:
    """A client that is its own context manager."""

    def __init__(self, address: str = "here") -> None:
        self.address = address
        self.open = False

    async def __aenter__(self) -> Self:
        self.open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open = False


def opened(made: Resource[Json], **needs: Json) -> Json:
    """Open a resource for a moment, and tell what it yields."""

    async def main() -> Json:
        async with made.open(**needs) as value:
            return value

    return run_on_virtual_time(main())


def test_a_resource_is_named_like_its_function_and_knows_what_it_needs() -> None:
    assert (numbers.name, numbers.needs) == ("numbers", {})
    assert doubled.needs == {"given": numbers}
    assert repr(doubled) == "<resource 'doubled' of tests.unit.test_tools_resource>"


def test_a_generator_is_opened_up_to_its_yield_and_closed_after_it() -> None:
    assert opened(numbers) == [1, 2]
    assert opened(doubled, given=[5]) == [10]


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [(managed, "managed", "managed"), (managed_in_a_thread, "managed_in_a_thread", "in a thread")],
)
def test_a_function_may_give_a_context_manager(
    function: Callable[[], AbstractAsyncContextManager[str]], name: str, value: str
) -> None:
    made = resource(function)

    assert made.name == name
    assert opened(made) == value


def test_a_class_that_is_its_own_context_manager_makes_a_resource() -> None:
    made, there = resource(Client), resource(partial(Client, "there"))

    assert (made.name, there.name) == ("Client", "Client")
    assert isinstance(opened(made), Client)
    assert opened(there).address == "there"


def refused() -> dict[str, tuple[Json, str]]:
    async def returning() -> int:
        return 1

    async def wanting(value: int) -> AsyncIterator[int]:
        yield value

    async def unknown(value: "NoSuchType") -> AsyncIterator[int]:  # type: ignore[name-defined] # noqa: F821 - the very point
        yield 1

    return {
        "returning": (returning, "Resource 'returning': it returns, so nobody could close it"),
        "wanting": (wanting, "Resource 'wanting': nobody gives it its parameter 'value: int'"),
        "unknown": (unknown, "Resource 'unknown': its annotations cannot be read: name 'NoSuchType'"),
        "nothing": (5, "5 is not a function"),
    }


@pytest.mark.parametrize("case", refused())
def test_what_cannot_be_a_resource_is_refused_with_its_reason(case: str) -> None:
    function, reason = refused()[case]

    with pytest.raises(InvalidToolError) as caught:
        resource(function)

    assert reason in str(caught.value)


def test_what_gives_no_context_manager_cannot_be_opened() -> None:
    made: Resource[int] = resource(lambda: 5)  # type: ignore[arg-type,return-value] # the mistake that is told

    with pytest.raises(TypeError, match="gives a int, which is no context manager"):
        opened(made)


def test_a_tool_knows_the_resources_of_its_module_and_of_the_function_around_it() -> None:
    @resource
    async def inner() -> AsyncIterator[int]:
        yield 1

    @tool
    async def use(context: ToolContext) -> int:
        return context.resource(inner)

    @tool
    def other() -> None: ...

    assert set(use.resources) == {numbers, doubled, inner}
    assert set(other.resources) == {numbers, doubled}


def test_a_context_that_no_service_made_has_no_resources() -> None:
    with pytest.raises(ResourceUnavailable, match="'numbers' is not available: a tool in a process") as caught:
        context_of().resource(numbers)

    assert (caught.value.type, caught.value.retryable) == ("ResourceUnavailable", False)


def test_a_resource_that_yields_twice_or_never_says_so() -> None:
    @resource
    async def never() -> AsyncIterator[int]:
        if asyncio.get_running_loop() is None:
            yield 1

    @resource
    async def twice() -> AsyncIterator[int]:
        yield 1
        yield 2

    with pytest.raises(RuntimeError, match="didn't yield"):
        opened(never)
    with pytest.raises(RuntimeError, match="didn't stop"):
        opened(twice)
