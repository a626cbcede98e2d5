"""Tools that do what a test says: each call comes to the next thing in a script."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec
from pydantic import BaseModel

from gql_app.core.errors import ToolError
from gql_app.core.json_schema import compile_schema, explain, locate
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import Tool, ToolContext
from gql_app.testing.failures import ScriptError

Entry: TypeAlias = Json
"""What a call comes to: an output, an exception to raise, `Hang`, `Delay`, `Stream`, or a function that says which."""


@dataclass(frozen=True, slots=True)
class Hang:
    """The call never ends by itself: it times out, or is cancelled."""


@dataclass(frozen=True, slots=True)
class Delay:
    """The call takes `seconds`, and then comes to `then`."""

    seconds: float
    then: Entry = None


@dataclass(frozen=True, slots=True)
class Stream:
    """The call streams texts, one every so many seconds, and then comes to `then`; left out, to all of them joined."""

    pieces: Sequence[str]
    every: float = 0.0
    then: Entry = ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """A call that a scripted tool was given; `at` is in seconds since `run_workflow` or `call_tool` began."""

    input: Json
    node: str
    attempt: int
    at: float
    idempotency_key: str
    step: str | None = None


_NOTHING: Final = object()


class ScriptedTool:
    """Stands in for the tool of this name, and keeps what is declared of it: its schemas, its policies, its limits.

    The calls come to the entries of the script, in order. Once it has run out, every further call comes to `then`; if
    there is none, that is a `ScriptError` of the test. An input is checked as by the real tool. An output must fit the
    real tool's schema, but may leave fields out. One that stands in for no other tool takes and returns anything,
    unless it is given a `definition`.

        ScriptedTool("http.request", [ToolError("Too fast.", retry_after=60), Hang(), Delay(3, {"status": 200})])
    """

    def __init__(
        self,
        name: str,
        script: Iterable[Entry] = (),
        *,
        then: Entry = _NOTHING,
        definition: ToolDefinition | None = None,
    ) -> None:
        if isinstance(script, str | dict) or not isinstance(script, Iterable):
            raise TypeError(f"The script of {name!r} is a list of what its calls come to, not {script!r}.")
        self.name: Final = name
        self.calls: Final[list[RecordedCall]] = []
        """The calls so far, in the order in which they began."""
        self._script: Final = list(script)
        self._then: Final = then
        self._definition: Final = definition
        self._faults: list[str] = []

    def __repr__(self) -> str:
        return f"<scripted tool {self.name!r}, called {len(self.calls)} times>"

    @property
    def left(self) -> Sequence[Entry]:
        """The entries that no call has come to yet."""
        return tuple(self._script[len(self.calls) :])

    def stand_in(self, real: Tool | None) -> Tool:
        """Make the tool that is called instead of the real one, if there is one, on the running loop."""
        if self._definition is not None:
            definition = msgspec.structs.replace(self._definition, name=self.name)
        else:
            definition = ToolDefinition(name=self.name) if real is None else real.definition
        return _StandIn(self, msgspec.structs.replace(definition, isolation="async"), real)

    def check(self) -> None:
        """Raise `ScriptError` if a call did not go as the test must have meant it."""
        if self._faults:
            raise ScriptError(" ".join(self._faults))

    def _take(self, value: Json, context: ToolContext, at: float) -> Entry:
        """Record a call, and tell what it comes to."""
        call = RecordedCall(
            input=value,
            node=context.node_id,
            attempt=context.attempt,
            at=at,
            idempotency_key=context.idempotency_key,
            step=context.step_id,
        )
        self.calls.append(call)
        number = len(self.calls)
        if number <= len(self._script):
            return self._script[number - 1]
        if self._then is _NOTHING:
            self._blame(
                f"its script has {len(self._script)} entries, but this is call {number}, by node {call.node!r}, attempt"
                f" {call.attempt}, with {_shown(value)}. Give it more, or `then=` for every further call"
            )
        return self._then

    def _blame(self, fault: str) -> None:
        """Say that the test is wrong: the call fails, and `check` tells why."""
        told = f"Scripted tool {self.name!r}: {fault}."
        self._faults.append(told)
        raise ToolError(told, type="ScriptError", retryable=False)


class _StandIn:
    """A scripted tool in the place of a real one."""

    def __init__(self, scripted: ScriptedTool, definition: ToolDefinition, real: Tool | None) -> None:
        self.definition = definition
        self._scripted = scripted
        self._real = real
        self._began = asyncio.get_running_loop().time()
        self._output_schema = compile_schema(msgspec.json.encode(_without_required(definition.output_schema)))

    def parse(self, value: Json) -> Json:
        """Check an input as the real tool does."""
        if self._real is not None:
            self._real.parse(value)
        return value

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Do what the script says."""
        at = asyncio.get_running_loop().time() - self._began
        entry = self._scripted._take(arguments, context, at)
        return await self._perform(entry, arguments, context)

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Never called: a stand-in is async."""
        raise NotImplementedError

    async def _perform(self, entry: Entry, value: Json, context: ToolContext) -> Json:
        match entry:
            case Hang():
                return await asyncio.Event().wait()
            case Delay(seconds, then):
                await asyncio.sleep(seconds)
                return await self._perform(then, value, context)
            case Stream(pieces, every, then):
                for piece in pieces:
                    await asyncio.sleep(every)
                    context.emit(piece)
                return await self._perform("".join(pieces) if then is ... else then, value, context)
            case BaseException():
                raise entry.with_traceback(None)
            case type() if issubclass(entry, BaseException):
                raise entry
            case _ if callable(entry):
                function: Callable[[Json], Json] = entry
                said = function(value)
                said = await said if inspect.isawaitable(said) else said
                return await self._perform(said, value, context)
            case _:
                return self._checked(entry)

    def _checked(self, output: Json) -> Json:
        """Refuse what the real tool could not return: a test that relies on it proves nothing."""
        value = output.model_dump(mode="json", by_alias=True) if isinstance(output, BaseModel) else output
        for error in self._output_schema.errors(value):
            where = f" at {locate(error)}" if locate(error) else ""
            self._scripted._blame(
                f"the output {_shown(value)} does not fit the tool's output schema{where}: {explain(error)[:-1]}"
            )
        return value


def _without_required(schema: Json) -> Json:
    """Let an output leave fields out: what a test does not look at, and what a later version adds."""
    match schema:
        case dict():
            return {
                name: _without_required(part)
                for name, part in schema.items()
                if not (name == "required" and isinstance(part, list))
            }
        case list():
            return [_without_required(part) for part in schema]
        case _:
            return schema


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
