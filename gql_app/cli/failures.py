"""Why a command cannot be carried out, and the exit codes."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command tells who called it. 130, 141 and 143 are what shells use for these signals."""

    OK = 0
    FAILED = 1
    INVALID = 2
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class CommandError(Exception):
    """The command cannot be carried out; the message is one line for people."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code
