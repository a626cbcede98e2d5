"""The evaluator: what could cost much is evaluated in processes that are killed when it does."""

import asyncio
import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gql_app.core.cel import InvalidExpression, Program
from gql_app.core.errors import ExpressionError
from gql_app.core.expressions import compile_expression, compile_template
from gql_app.core.formulas import Formula
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.sandbox.sandbox import Sandbox
from gql_app.settings import Settings
from gql_app.testing.virtual_time import VirtualTimeLoop
from tests.support.hostile_expressions import ENDLESS_INPUT, ENDLESS_PATTERN, FAT_LIST, STRING_DOUBLER, fattened
from tests.support.requirements import REPOSITORY

pytestmark = pytest.mark.anyio

HARMLESS = compile_expression("input.numbers.map(x, x + 1)")
NUMBERS = {"input": {"numbers": [1, 2]}}
ENDLESS = compile_expression(ENDLESS_PATTERN)
PATIENT = 60.0
"""Seconds nobody waits for: what is ended before is ended by something else."""


async def evaluate(sandbox: Sandbox, formula: Formula, scope: Json, run: str = "run") -> Json:
    return await sandbox.evaluate(formula, scope, namespace=Namespace("default"), run_id=RunId(run))


@asynccontextmanager
async def fresh_sandbox(**settings: Json) -> AsyncIterator[Sandbox]:
    made = Sandbox(Settings(**settings))
    yield made
    await made.close()


async def started(sandbox: Sandbox) -> int:
    """Wait until a process is at work, and give its id."""
    await until(lambda: sandbox.processes != [])
    return sandbox.processes[0]


async def until(there: Callable[[], bool]) -> None:
    """Let others go on until something is so."""
    for _ in iter(there, True):
        await asyncio.sleep(0)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def environment_of(pid: int) -> set[str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {entry.partition(b"=")[0].decode() for entry in entries}


def kinds_of_open_files(pid: int) -> set[str]:
    return {str(file.readlink()).partition(":")[0] for file in Path(f"/proc/{pid}/fd").iterdir()}


@pytest.mark.parametrize(
    ("formula", "scope", "result"),
    [
        (HARMLESS, NUMBERS, [2, 3]),
        (compile_template({"a": ["${ input.numbers.filter(x, x > 1) }", "$${"]}), NUMBERS, {"a": [[2], "${"]}),
        (Program("value.map(x, {'x': x})", frozenset({"value"})), {"value": ["ä", None]}, [{"x": "ä"}, {"x": None}]),
        (compile_expression("input.a.matches(input.b)"), {"input": {"a": "abc", "b": "^a"}}, True),
        (compile_expression("[input].map(x, x)"), {"input": [1.0, 2**63, -1]}, [[1.0, 2**63, -1]]),
    ],
)
async def test_a_process_gives_the_same_result(sandbox: Sandbox, formula: Formula, scope: Json, result: Json) -> None:
    assert await evaluate(sandbox, formula, scope) == result == formula.evaluate(scope)


async def test_an_expression_that_fails_there_is_quoted_as_always(sandbox: Sandbox) -> None:
    with pytest.raises(ExpressionError) as here:
        HARMLESS.evaluate({"input": {}})
    with pytest.raises(ExpressionError) as there:
        await evaluate(sandbox, HARMLESS, {"input": {}})

    assert str(there.value) == str(here.value)


async def test_what_costs_little_starts_no_process() -> None:
    async with fresh_sandbox() as sandbox:
        assert await evaluate(sandbox, compile_expression("input.a + input.a"), {"input": {"a": "x" * 1_000}})
        assert await evaluate(sandbox, compile_template({"all": "${ input }"}), {"input": "x" * 10_000_000})

        assert sandbox.processes == []


async def test_an_ordinary_operator_over_much_data_is_evaluated_in_a_process() -> None:
    async with fresh_sandbox() as sandbox:
        assert await evaluate(sandbox, compile_expression("size(input.a + input.a)"), {"input": {"a": "x" * 100_000}})

        assert len(sandbox.processes) == 1


async def test_a_template_that_repeats_much_data_is_evaluated_in_a_process() -> None:
    template = compile_template(" ".join(["${ input.a }"] * 40))
    async with fresh_sandbox(expression_seconds=PATIENT) as sandbox:
        with pytest.raises(ExpressionError, match="its result takes 20000121 bytes of JSON; 16777216 are allowed"):
            await evaluate(sandbox, template, {"input": {"a": "x" * 500_000}})


def test_the_string_doubler_is_refused_before_it_is_evaluated() -> None:
    assert len(STRING_DOUBLER) == 190
    with pytest.raises(InvalidExpression, match="has 8 comprehensions; 2 are allowed"):
        compile_expression(STRING_DOUBLER)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (FAT_LIST, None),
        (fattened("input", 100, 100), ["x" * 200_000]),
        ("size(input.map(a, input.map(b, [a, b])))", list(range(5_000))),
    ],
)
async def test_an_expression_that_takes_too_much_memory_is_an_error_and_costs_the_service_none(
    expression: str, value: Json
) -> None:
    async with fresh_sandbox(expression_seconds=PATIENT, expression_memory_bytes=64 << 20) as sandbox:
        await evaluate(sandbox, HARMLESS, NUMBERS)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ExpressionError, match="needs more than the 64 MiB of memory it may have") as caught:
            await evaluate(sandbox, compile_expression(expression), {"input": value})
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        assert not caught.value.retryable
        assert await evaluate(sandbox, HARMLESS, NUMBERS) == [2, 3]
        assert after - before < 16 << 10


async def test_an_expression_that_takes_too_long_is_an_error_and_its_process_is_replaced() -> None:
    async with fresh_sandbox(expression_processes=1, expression_seconds=0.2) as sandbox:
        work = asyncio.create_task(evaluate(sandbox, ENDLESS, {"input": ENDLESS_INPUT}))
        pid = await started(sandbox)

        with pytest.raises(ExpressionError, match=r"takes longer than the 0\.2 s it may") as caught:
            await work

        assert not caught.value.retryable
        assert not is_alive(pid)


async def test_the_event_loop_goes_on_while_an_expression_is_evaluated() -> None:
    async with fresh_sandbox(expression_seconds=1) as sandbox:
        work = asyncio.create_task(evaluate(sandbox, ENDLESS, {"input": ENDLESS_INPUT}))
        turns = 0
        while not work.done():
            await asyncio.sleep(0)
            turns += 1

        with pytest.raises(ExpressionError):
            await work
        assert turns > 1_000


def test_on_virtual_time_the_time_limit_is_counted_in_real_time() -> None:
    async def main() -> Json:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        async with fresh_sandbox(expression_seconds=PATIENT) as sandbox:
            loop.hold_while(lambda: sandbox.busy)
            timer = asyncio.create_task(asyncio.sleep(3_600))
            return await evaluate(sandbox, HARMLESS, NUMBERS), timer.done() or timer.cancel()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == ([2, 3], True)


async def test_a_process_that_is_killed_is_replaced_and_the_evaluation_done_again() -> None:
    async with fresh_sandbox(expression_seconds=PATIENT) as sandbox:
        await evaluate(sandbox, HARMLESS, NUMBERS)
        [pid] = sandbox.processes
        os.kill(pid, signal.SIGSTOP)
        work = asyncio.create_task(evaluate(sandbox, HARMLESS, NUMBERS))
        await until(lambda: sandbox.busy)
        os.kill(pid, signal.SIGKILL)

        assert await work == [2, 3]
        assert sandbox.processes != [pid]


async def test_an_expression_whose_process_is_killed_twice_fails() -> None:
    async with fresh_sandbox(expression_seconds=PATIENT) as sandbox:
        work = asyncio.create_task(evaluate(sandbox, ENDLESS, {"input": ENDLESS_INPUT}))
        first = await started(sandbox)
        os.kill(first, signal.SIGKILL)
        await until(lambda: sandbox.processes not in ([], [first]))
        os.kill(sandbox.processes[0], signal.SIGKILL)

        with pytest.raises(ExpressionError, match="was ended from outside"):
            await work


async def test_fifty_evaluations_at_once_share_two_processes(sandbox: Sandbox) -> None:
    scopes = [{"input": {"numbers": [i]}} for i in range(50)]

    results = await asyncio.gather(*(evaluate(sandbox, HARMLESS, scope) for scope in scopes))

    assert results == [[i + 1] for i in range(50)]
    assert len(sandbox.processes) <= 2


async def test_an_evaluation_that_nobody_waits_for_is_ended() -> None:
    async with fresh_sandbox(expression_processes=1, expression_seconds=PATIENT) as sandbox:
        work = asyncio.create_task(evaluate(sandbox, ENDLESS, {"input": ENDLESS_INPUT}))
        await started(sandbox)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

        assert await evaluate(sandbox, HARMLESS, NUMBERS) == [2, 3]


async def test_closing_leaves_no_process_and_lets_nobody_wait() -> None:
    sandbox = Sandbox(Settings(expression_processes=2, expression_seconds=PATIENT))
    await asyncio.gather(*(evaluate(sandbox, HARMLESS, NUMBERS) for _ in range(2)))
    pids = sandbox.processes
    work = [asyncio.create_task(evaluate(sandbox, ENDLESS, {"input": ENDLESS_INPUT})) for _ in range(3)]
    await until(lambda: sandbox.busy)

    await sandbox.close()

    ends = await asyncio.gather(*work, return_exceptions=True)
    assert [str(end).rpartition("failed: ")[2] for end in ends] == ["the service shuts down."] * 3
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


async def test_a_worker_is_given_neither_the_environment_nor_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_SECRET_TOKEN", "hush")
    async with fresh_sandbox() as sandbox:
        await evaluate(sandbox, HARMLESS, NUMBERS)
        [pid] = sandbox.processes

        assert "GQL_APP_SECRET_TOKEN" not in environment_of(pid)
        assert kinds_of_open_files(pid) == {"pipe", "/dev/null"}


def test_a_process_ends_with_the_service_however_that_ends() -> None:
    program = (
        "import asyncio; from tests.integration import test_sandbox as t\n"
        "async def main():\n"
        "    async with t.fresh_sandbox() as sandbox:\n"
        "        await t.evaluate(sandbox, t.HARMLESS, t.NUMBERS); print(*sandbox.processes, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=REPOSITORY) as service:
        assert service.stdout is not None
        worker = os.pidfd_open(int(service.stdout.readline()))
        service.kill()

    ended, _, _ = select.select([worker], [], [], PATIENT)
    os.close(worker)
    assert ended == [worker]
