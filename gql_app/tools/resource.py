"""`@resource` makes something that calls share of a function."""

import asyncio
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, overload

from gql_app.core.errors import InvalidToolError
from gql_app.core.values import Json
from gql_app.ports import Resource

T = TypeVar("T")

_UNRESOLVABLE: Final = (NameError, AttributeError, TypeError, SyntaxError)
_ANY_NUMBER: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@overload
def resource(function: Callable[..., AsyncIterator[T]], /) -> Resource[T]: ...
@overload
def resource(function: Callable[..., Iterator[T]], /) -> Resource[T]: ...
@overload
def resource(function: Callable[..., AbstractAsyncContextManager[T, bool | None]], /) -> Resource[T]: ...
@overload
def resource(function: Callable[..., AbstractContextManager[T, bool | None]], /) -> Resource[T]: ...
def resource(function: Callable[..., Json], /) -> Resource[Json]:
    """Make something that calls share, such as a connection pool: opened once, when the service starts.

    The function yields it once, after opening it and before closing it, or gives a context manager that does so. One
    that is not async is carried out in a thread. A parameter annotated `Annotated[T, other]` takes what the resource
    `other` yields, which is opened before and closed after. It stands in the module of the tools that use it, or is
    imported there; they ask for it with `context.resource(…)`.
    """
    name = _name_of(function)
    if not callable(function):
        raise InvalidToolError(f"{function!r} is not a function: @resource stands directly above one.")
    if inspect.iscoroutinefunction(function):
        raise InvalidToolError(
            f"Resource {name!r}: it returns, so nobody could close it; `yield` once, with what closes it after that."
        )
    if inspect.isasyncgenfunction(function):
        open_it: Callable[..., Json] = asynccontextmanager(function)
    elif inspect.isgeneratorfunction(function):
        open_it = contextmanager(function)
    else:
        open_it = function
    return Resource(
        name,
        partial(_opened, name, open_it),
        module=getattr(function, "__module__", ""),
        needs=_read_needs(name, function),
    )


def _opened(name: str, open_it: Callable[..., Json], *args: Json, **needs: Json) -> AbstractAsyncContextManager[Json]:
    manager = open_it(*args, **needs)
    if isinstance(manager, AbstractAsyncContextManager):
        return manager
    if isinstance(manager, AbstractContextManager):
        return _InThread(manager)
    raise TypeError(
        f"resource {name!r} is a function that gives a {type(manager).__name__}, which is no context manager"
    )


class _InThread(AbstractAsyncContextManager[T, bool | None], Generic[T]):
    """Enters and leaves a context manager in a thread, so that nobody waits for it but who must."""

    def __init__(self, manager: AbstractContextManager[T, bool | None]) -> None:
        self._manager = manager

    async def __aenter__(self) -> T:
        return await asyncio.to_thread(self._manager.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await asyncio.to_thread(self._manager.__exit__, kind, error, traceback)


def _name_of(function: Json) -> str:
    inner = function.func if isinstance(function, partial) else function
    return getattr(inner, "__name__", None) or type(inner).__name__


def _read_needs(name: str, function: Callable[..., Json]) -> dict[str, Resource[Json]]:
    """Find which resources the parameters take; those of a function must all be given by somebody."""
    hints = _hints(name, function)
    needs: dict[str, Resource[Json]] = {}
    for parameter in _parameters(function):
        needed = _needed(hints.get(parameter.name))
        if needed is not None:
            needs[parameter.name] = needed
        elif parameter.default is parameter.empty and parameter.kind not in _ANY_NUMBER:
            raise InvalidToolError(
                f"Resource {name!r}: nobody gives it its parameter {str(parameter)!r}. Give it a default, or the value"
                " of another resource with `Annotated[…, other]`."
            )
    return needs


def _parameters(function: Callable[..., Json]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return []  # Written in C, it does not tell.


def _hints(name: str, function: Callable[..., Json]) -> dict[str, Json]:
    if not inspect.isroutine(function):
        return {}
    try:
        return typing.get_type_hints(function, include_extras=True)
    except _UNRESOLVABLE as error:
        raise InvalidToolError(
            f"Resource {name!r}: its annotations cannot be read: {error}. Every type must be known in its module."
        ) from error


def _needed(hint: Any) -> Resource[Json] | None:
    return next((part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Resource)), None)
