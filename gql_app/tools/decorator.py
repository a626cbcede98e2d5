"""`@tool` makes a tool of a function."""

import functools
import inspect
import re
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from types import CellType
from typing import Any, Final, Generic, Literal, ParamSpec, TypeAlias, TypeVar, overload

from gql_app.core.errors import InvalidToolError
from gql_app.core.plan import ToolDefinition
from gql_app.core.spec import RateLimit, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.ports import Resource, ToolContext
from gql_app.tools.signature import read_signature
from gql_app.tools.streaming import is_stream, stream, stream_async

TOOL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")

Isolation: TypeAlias = Literal["thread", "process"]
P = ParamSpec("P")
R = TypeVar("R")


class FunctionTool(Generic[P, R]):
    """A function as a tool. Calling it calls the function, with nothing checked."""

    __name__: str
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        retry: RetryPolicy | None = None,
        timeout: TimeoutPolicy | None = None,
        max_concurrency: int | None = None,
        rate_limit: RateLimit | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        _check_function(function)
        functools.update_wrapper(self, function)
        self._function: Callable[P, R] = function
        self._options: dict[str, Json] = {
            "name": name,
            "description": description,
            "retry": retry,
            "timeout": timeout,
            "max_concurrency": max_concurrency,
            "rate_limit": rate_limit,
            "isolation": isolation,
        }
        name = function.__name__ if name is None else name
        _check_name(name, function)
        self._signature = read_signature(name, function)
        self._definition = ToolDefinition(
            name=name,
            description=_description(name, function, description),
            input_schema=self._signature.arguments.schema,
            output_schema=self._signature.results.schema,
            retry=_policy(name, "retry", retry, RetryPolicy),
            timeout=_policy(name, "timeout", timeout, TimeoutPolicy),
            max_concurrency=_concurrency(name, max_concurrency),
            rate_limit=_rate(name, rate_limit),
            isolation=_isolation(name, function, isolation),
            streams=is_stream(function),
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self._definition.name!r} of {self.__module__}.{self.__qualname__}>"

    def __reduce__(self) -> tuple[Callable[..., Json], tuple[Json, ...]]:
        """Travel by name, as functions do: in the function's module stands the tool now."""
        if _look_up(self.__module__, self.__qualname__) is self:
            return _look_up, (self.__module__, self.__qualname__)
        return _make, (self._function, self._options)

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        return self._definition

    @property
    def resources(self) -> tuple[Resource[Json], ...]:
        """The resources that stand where the function does: in its module, or in the function around it."""
        function = inspect.unwrap(self._function)
        cells = (_content(cell) for cell in getattr(function, "__closure__", None) or ())
        seen = (*getattr(function, "__globals__", {}).values(), *cells)
        return tuple(dict.fromkeys(value for value in seen if isinstance(value, Resource)))

    def parse(self, value: Json) -> Json:
        """Check a resolved input and make the function's arguments of it. Raises `InvalidInputError`."""
        return self._signature.arguments.parse(value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Call the async function; models, dates and the like in what it returns become JSON."""
        function: Any = self._function
        if self._definition.streams:
            return await stream_async(lambda inner: function(**self._with_context(arguments, inner)), context)
        return self._signature.results.dump(await function(**self._with_context(arguments, context)))

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Call the sync function; models, dates and the like in what it returns become JSON."""
        function: Any = self._function
        if self._definition.streams:
            return stream(lambda inner: function(**self._with_context(arguments, inner)), context)
        return self._signature.results.dump(function(**self._with_context(arguments, context)))

    def _with_context(self, arguments: dict[str, Json], context: ToolContext) -> dict[str, Json]:
        parameter = self._signature.context
        return arguments if parameter is None else {**arguments, parameter: context}


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    retry: RetryPolicy | None = None,
    timeout: TimeoutPolicy | None = None,
    max_concurrency: int | None = None,
    rate_limit: RateLimit | None = None,
    isolation: Isolation | None = None,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(function: Callable[P, R] | None = None, /, **options: Json) -> Json:
    """Make a tool of an async or a sync function.

    Its parameters are the tool's input; one pydantic model alone stands for the whole input. A parameter annotated
    `ToolContext` is handed the context of the call. Its name and the first paragraph of its docstring are the tool's,
    unless `name` and `description` say otherwise. A retry or timeout policy is the default of nodes that call it.
    At most `max_concurrency` calls go on at once, and they begin no more often than `rate_limit` allows. A sync
    function runs in a thread, or with `isolation="process"` in a process of its own, which is killed when time is up;
    it must then stand at the top level of a module.

    A generator of texts, async or sync, is a tool that streams: each piece is shown as soon as it is yielded, and all
    of them joined are the output.
    """
    if function is not None:
        return FunctionTool(function)
    return functools.partial(_make, options=options)


def first_paragraph(docstring: str | None) -> str:
    """Take the first paragraph of a docstring, as one line."""
    return " ".join((docstring or "").strip().partition("\n\n")[0].split())


def _content(cell: CellType) -> Json:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # Nothing was put in it yet.


def _make(function: Callable[P, R], options: dict[str, Json]) -> FunctionTool[P, R]:
    return FunctionTool(function, **options)


def _look_up(module: str, qualified_name: str) -> Json:
    try:
        return attrgetter(qualified_name)(import_module(module))
    except (AttributeError, ImportError):
        return None


def _check_function(function: Callable[..., Json]) -> None:
    if not inspect.isroutine(function) or isinstance(function, staticmethod | classmethod):
        raise InvalidToolError(f"{function!r} is not a function: @tool stands directly above `def` or `async def`.")


def _check_name(name: Json, function: Callable[..., Json]) -> None:
    if not isinstance(name, str) or TOOL_NAME.fullmatch(name) is None:
        raise InvalidToolError(
            f"{name!r} cannot be the name of the tool made of {function.__qualname__!r}: a name is a letter or `_`,"
            " then at most 127 letters, digits, `_`, `.` or `-`. Give it one with @tool(name=…)."
        )


def _description(name: str, function: Callable[..., Json], description: Json) -> str:
    if description is None:
        return first_paragraph(inspect.getdoc(function))
    if isinstance(description, str):
        return description
    raise InvalidToolError(f"Tool {name!r}: `description` is {description!r}; it takes a text.")


PolicyT = TypeVar("PolicyT", RetryPolicy, TimeoutPolicy)


def _policy(name: str, field: str, policy: PolicyT | None, expected: type[PolicyT]) -> PolicyT:
    if policy is None:
        return expected()
    if isinstance(policy, expected):
        return policy
    raise InvalidToolError(f"Tool {name!r}: `{field}` is {policy!r}; it takes a {expected.__name__}.")


def _concurrency(name: str, value: int | None) -> int | None:
    if value is None or (type(value) is int and value >= 1):
        return value
    raise InvalidToolError(f"Tool {name!r}: `max_concurrency` is {value!r}; it is at least 1, or None for no limit.")


def _rate(name: str, value: RateLimit | None) -> RateLimit | None:
    if value is None or isinstance(value, RateLimit):
        return value
    raise InvalidToolError(f"Tool {name!r}: `rate_limit` is {value!r}; it takes a RateLimit, or None for no limit.")


def _isolation(name: str, function: Callable[..., Json], isolation: str | None) -> str:
    if isolation not in (None, "thread", "process"):
        raise InvalidToolError(f"Tool {name!r}: `isolation` is {isolation!r}; it takes 'thread' or 'process'.")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        if isolation is not None:
            raise InvalidToolError(
                f"Tool {name!r}: an async function runs on the event loop; leave `isolation` out or make it sync."
            )
        return "async"
    if isolation == "process" and inspect.isgeneratorfunction(function):
        raise InvalidToolError(
            f"Tool {name!r}: nothing can be streamed from a process of its own. Leave `isolation` out, or return one"
            " text instead of yielding many."
        )
    if isolation == "process" and not function.__qualname__.replace(".", "_").isidentifier():
        raise InvalidToolError(
            f"Tool {name!r}: {function.__qualname__!r} stands inside a function, where another process cannot find it."
            " Move it to the top level of its module, or leave `isolation` out."
        )
    return isolation or "thread"
