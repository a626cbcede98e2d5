"""The worker process: evaluates what it is sent, one after the other, and has nothing else."""

import contextlib
import math
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

if sys.platform != "win32":
    import resource

from gql_app.core.cel import EvaluationFailed
from gql_app.core.expressions import compile_expression
from gql_app.core.formulas import perform
from gql_app.sandbox.answers import MAXIMUM_BYTES, Answer
from gql_app.sandbox.frames import read_frame, write_frame

_PAGE_COUNTS: Final = Path("/proc/self/statm")
_KEPT: Final = 0.5
"""A worker that holds on to this part of its memory ends, so that the next evaluation has all of it."""


def main(seconds: float, memory: int) -> None:
    """Answer until the pipe is closed. With `last` in an answer, no further one is given."""
    # Ctrl-C is for the service, which closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whatever is loaded with the first evaluation is loaded before the limits are set.
    compile_expression("[input].map(x, string(x) + 'x').filter(x, x.matches('x'))").evaluate({"input": 1})
    before = _occupied()
    _limit_memory(before + memory)
    write_frame(answers, b"")
    with contextlib.suppress(EOFError):
        while True:
            request = read_frame(requests)
            _limit_processor_time(seconds)
            answer = _answer(request)
            del request
            last = answer.last or _occupied() - before > memory * _KEPT
            write_frame(answers, msgspec.json.encode(msgspec.structs.replace(answer, last=last)))
            if last:
                return


def _answer(request: bytes) -> Answer:
    try:
        return _evaluate(request)
    except EvaluationFailed as error:
        return Answer(expression=error.expression, reason=error.reason)
    except MemoryError:
        return Answer(out_of_memory=True, last=True)
    except Exception as error:  # noqa: BLE001 - an edge: whatever the library does when it has no room ends here
        # The CEL library turns some of its failures into a TypeError of its binding.
        without_room = isinstance(error.__cause__ or error.__context__, MemoryError) or isinstance(error, TypeError)
        reason = f"it cannot be evaluated ({type(error).__name__})."
        return Answer(reason=None if without_room else reason, out_of_memory=without_room, last=True)


def _evaluate(request: bytes) -> Answer:
    # orjson would crash where there is no room.
    data = msgspec.json.encode(perform(request))
    if len(data) > MAXIMUM_BYTES:
        reason = f"its result takes {len(data)} bytes of JSON; {MAXIMUM_BYTES} are allowed."
        return Answer(reason=reason)
    return Answer(results=msgspec.Raw(data))


def _occupied() -> int:
    """Tell how much address space is in use; 0 where nobody says."""
    if sys.platform != "linux":
        return 0
    return int(_PAGE_COUNTS.read_text().split()[0]) * resource.getpagesize()


def _limit_memory(size: int) -> None:
    """Let an allocation beyond this fail; only Linux both counts and keeps the limit."""
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_processor_time(seconds: float) -> None:
    """End this process if it goes on for long: should the service die, nobody else is there to do it."""
    if sys.platform != "win32":
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
