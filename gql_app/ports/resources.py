"""What calls of tools share: opened once, when the service starts, and closed when it ends."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Generic, Protocol, TypeVar

from gql_app.core.values import Json

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Resource(Generic[T_co]):
    """Something that calls share, such as a connection pool or a client. `@resource` makes one of a function."""

    __slots__ = ("_opener", "module", "name", "needs")

    def __init__(
        self,
        name: str,
        opener: Callable[..., AbstractAsyncContextManager[T_co]],
        *,
        module: str = "",
        needs: "Mapping[str, Resource[Json]] | None" = None,
    ) -> None:
        self.name = name
        self.module = module
        self.needs: Mapping[str, Resource[Json]] = needs or {}
        """The resources that it is made of, by the parameters that take them."""
        self._opener = opener

    def __repr__(self) -> str:
        return f"<resource {self.name!r} of {self.module}>"

    def open(self, *args: Json, **needs: Json) -> AbstractAsyncContextManager[T_co]:
        """Open one of one's own, for the length of an `async with`; give it what it needs."""
        return self._opener(*args, **needs)


class Resources(Protocol):
    """The resources that are open."""

    def get(self, resource: Resource[T]) -> T:
        """Give a resource; any thread may ask. Raises `ResourceUnavailable` for one that is not open."""
        ...
