"""The tool `subprocess.run`, for services whose settings name programs."""

import asyncio
import errno
import os
import re
import secrets
import shutil
import signal
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from anyio import to_thread
from pydantic import AfterValidator, BaseModel, Field

from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Frozen, Json
from gql_app.ports import Tool, ToolContext
from gql_app.settings import Settings
from gql_app.tools.decorator import tool
from gql_app.tools.subprocess_output import Output, Room
from gql_app.tools.subprocess_process import Process
from gql_app.tools.subprocess_programs import Directories, Programs

if TYPE_CHECKING:
    from gql_app.tools.subprocess_supervisor import Order, Report

MAXIMUM_ARGUMENTS: Final = 10_000
MAXIMUM_VARIABLES: Final = 1_000
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS: Final = re.compile(r"PATH|(LD|DYLD)_.*")
"""Variables that decide which code a program is made of."""
_SHORT_OF: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC})
_SHOWN_CHARACTERS: Final = 300


def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("it has a NUL character, which ends a text for programs")
    return text


def _check_environment(variables: dict[str, str]) -> dict[str, str]:
    # The messages leave the values out: they may be secrets.
    for name, value in variables.items():
        if _VARIABLE.fullmatch(name) is None:
            raise ValueError(f"{name[:60]!r} is not the name of a variable")
        if _OURS.fullmatch(name) is not None:
            raise ValueError(f"{name[:60]!r} cannot be set: it decides which code is run")
        if "\0" in value:
            raise ValueError(f"the value of {name[:60]!r} has a NUL character, which ends a text for programs")
    return variables


Text = Annotated[str, AfterValidator(_check_text)]


class SubprocessInput(Frozen):
    """What to run."""

    program: Annotated[str, Field(description="Which program, of those that may be run here.")]
    arguments: Annotated[
        list[Text],
        Field(
            max_length=MAXIMUM_ARGUMENTS, description="What the program is called with, as it is: there is no shell."
        ),
    ] = Field(default_factory=list)
    input: Annotated[str, Field(description="What the program reads from its standard input.")] = ""
    environment: Annotated[
        dict[str, str],
        Field(
            max_length=MAXIMUM_VARIABLES,
            description="Variables beside `PATH`, `LANG`, `HOME` and `TMPDIR`, which are all that it has else.",
        ),
        AfterValidator(_check_environment),
    ] = Field(default_factory=dict)
    working_directory: Annotated[
        Text | None,
        Field(
            description="Where to run it, below a directory that is set for that; null for a new one, which is removed"
            " afterwards."
        ),
    ] = None
    expected_exit_codes: Annotated[
        list[Annotated[int, Field(ge=0, le=255)]],
        Field(min_length=1, max_length=256, description="The exit codes that are no failure."),
    ] = Field(default_factory=lambda: [0])
    truncate_output: Annotated[
        bool,
        Field(description="Whether to take the beginning of an output that is too large, instead of failing."),
    ] = False


class SubprocessResult(BaseModel):
    """How the program ended, and what it wrote."""

    exit_code: Annotated[int, Field(serialization_alias="exitCode", description="Its exit code.")]
    stdout: Annotated[str, Field(description="What it wrote.")]
    stderr: Annotated[str, Field(description="What it wrote to its standard error.")]
    truncated: Annotated[bool, Field(description="Whether it wrote more than stands here.")]
    replaced: Annotated[bool, Field(description="Whether bytes that are not UTF-8 were replaced by U+FFFD.")]


class SubprocessRun:
    """The tool. Each call is a process under a supervisor of its own, which ends everything that the program began."""

    def __init__(self, settings: Settings) -> None:
        self._programs = Programs(settings.subprocess_allowed)
        self._directories = Directories(settings.subprocess_directories)
        self._maximum = settings.subprocess_output_bytes
        self._memory = settings.subprocess_memory_bytes
        self._grace = settings.subprocess_grace_seconds
        self._tool = tool(name="subprocess.run", max_concurrency=settings.maximum_processes)(self._run)
        self._definition = _naming(self._tool.definition, self._programs.names)

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        return self._definition

    def parse(self, value: Json) -> Json:
        """Check a resolved input. Raises `InvalidInputError`."""
        return self._tool.parse(value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Run the program."""
        return await self._tool.call(arguments, context)

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Refuse: the tool is async."""
        raise TypeError("subprocess.run is async: await `call`.")

    async def _run(self, request: SubprocessInput, context: ToolContext) -> SubprocessResult:
        """Run a program, without a shell, and return its exit code and what it wrote, which is streamed as it comes."""
        order = self._order(request)
        room = Room(self._maximum, truncates=request.truncate_output)
        outputs = Output(room), Output(room)
        report = await _perform(order, request.input.encode(), room, outputs, context)
        name = Path(order["path"]).name
        if report is None:
            raise ToolError(f"What watched over {name} has died, and {name} with it.", type="ProcessLost")
        if "error" in report:
            raise _not_started(name, report)
        (stdout, replaced), (stderr, replaced_too) = (output.text() for output in outputs)
        if report["code"] not in request.expected_exit_codes:
            raise ToolError(_explain(name, report["code"], stderr or stdout), type="ProcessFailed")
        return SubprocessResult(
            exit_code=report["code"],
            stdout=stdout,
            stderr=stderr,
            truncated=room.truncated,
            replaced=replaced or replaced_too,
        )

    def _order(self, request: SubprocessInput) -> "Order":
        path = self._programs.path(request.program)
        directory = request.working_directory
        scratch = f"{tempfile.gettempdir()}/gql-app-{secrets.token_hex(8)}"
        basics = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": scratch,
            "TMPDIR": scratch,
        }
        return {
            "path": path,
            "arguments": request.arguments,
            "environment": {**basics, **request.environment},
            "directory": None if directory is None else self._directories.path(directory),
            "scratch": scratch,
            "memory": self._memory,
            "grace": self._grace,
        }


async def _perform(
    order: "Order", data: bytes, room: Room, outputs: tuple[Output, Output], context: ToolContext
) -> "Report | None":
    """Run the program; whatever happens, nothing of it is left."""
    try:
        process = await Process.start(order)
    except OSError as error:
        return {"errno": error.errno or 0, "error": str(error)}
    ended = asyncio.ensure_future(process.report())
    tasks: Sequence[asyncio.Future[Json]] = [
        ended,
        asyncio.ensure_future(process.feed(data)),
        asyncio.ensure_future(outputs[0].read(process.stdout, context.heartbeat, context.emit)),
        asyncio.ensure_future(outputs[1].read(process.stderr, context.heartbeat)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        return await ended
    except ToolError:
        room.close()
        await process.kill()
        raise
    except asyncio.CancelledError:
        # What the program still writes is read, so that it can come to its end.
        room.close()
        await process.stop()
        raise
    finally:
        process.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if process.failed:
            # Else its supervisor has removed it.
            await to_thread.run_sync(partial(shutil.rmtree, order["scratch"], ignore_errors=True))


def subprocess_tools(settings: Settings) -> list[Tool]:
    """Make the tool, if there is a program that it may run. Raises `InvalidToolError`."""
    return [SubprocessRun(settings)] if settings.subprocess_allowed else []


def _naming(definition: ToolDefinition, programs: list[str]) -> ToolDefinition:
    """Let the schema tell which programs there are."""
    schema = dict(definition.input_schema)
    properties = schema["properties"]
    schema["properties"] = {**properties, "program": {**properties["program"], "enum": programs}}
    named: ToolDefinition = msgspec.structs.replace(definition, input_schema=schema)
    return named


def _not_started(name: str, report: "Report") -> ToolError:
    if report["errno"] == errno.E2BIG:
        return InvalidInputError(
            f"The arguments and the environment are more than the system hands to a program: {name}"
        )
    return ToolError(
        f"{name} could not be started: {report['error']}.",
        type="ProcessNotStarted",
        retryable=report["errno"] in _SHORT_OF,
    )


def _explain(name: str, code: int, written: str) -> str:
    """Say how a program ended, with the last line that it wrote."""
    try:
        how = f"exited with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        how = f"was ended by signal {-code}"
    lines = written.rstrip().splitlines()
    return f"{name} {how}" + (f": {lines[-1].strip()[:_SHOWN_CHARACTERS]}" if lines else ".")
