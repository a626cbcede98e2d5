"""The entry point of `gql-app`: finds the command, carries it out, and tells the exit code."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Final

from gql_app.cli.arguments import parse
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import be_lenient, tell
from gql_app.core.errors import MissingExtraError
from gql_app.web.loop import leave

_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "list": ("runs", "list_runs"),
    "show": ("runs", "show"),
    "cancel": ("runs", "cancel"),
    "retry": ("runs", "retry"),
    "delete": ("runs", "delete"),
    "import": ("import_", "main"),
}
"""Commands that are not the `main` of a module of their name."""
_EXTRAS: Final[Mapping[str, str]] = {"sqlalchemy": "sqlite", "alembic": "sqlite", "mcp": "mcp", "mcp_types": "mcp"}
"""Which extra what comes with."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command and tell its exit code. Without `arguments` it is the process's own: nothing outlives it."""
    code = _carry_out(arguments)
    if arguments is None:
        leave(code)
    return code


def _carry_out(arguments: Sequence[str] | None) -> int:
    try:
        be_lenient()
        options = parse(arguments)
        code = _find(options.command)(options)
        sys.stdout.flush()
    except CommandError as error:
        tell(f"gql-app: {error}")
        return error.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; the interpreter's own flush at the end must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.OK
    return code


def _find(command: str) -> Callable[..., int]:
    """Load a command: alone, because what some of them need takes a while to load."""
    module, name = _COMMANDS.get(command, (command, "main"))
    try:
        found: Callable[..., int] = getattr(import_module(f"gql_app.cli.commands.{module}"), name)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        raise CommandError(str(MissingExtraError(f"gql-app {command}", extra))) from None
    return found
