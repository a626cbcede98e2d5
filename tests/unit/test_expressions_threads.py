"""Documents are planned in threads while others are evaluated: none disturbs another."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gql_app.core.expressions import InvalidExpression, compile_expression
from gql_app.core.values import Json

THREADS = 4
ROUNDS = 60


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def compile_and_evaluate(thread: int) -> Json:
    """Work with expressions that nobody else has, with some that all have, and with some that are wrong."""
    results = []
    for turn in range(ROUNDS):
        for text in (f"[{thread}, input.x].map(v, v * {turn + 2})", f"input.x + {turn}", f"{turn} +", "nodes.a"):
            try:
                results.append(compile_expression(text).evaluate({"input": {"x": thread}}))
            except InvalidExpression as error:
                results.append(error.message)
    return results


def test_threads_compile_and_evaluate_at_once_what_one_does_alone() -> None:
    alone = [compile_and_evaluate(thread) for thread in range(THREADS)]
    compile_expression.cache_clear()

    with ThreadPoolExecutor(THREADS) as pool:
        at_once = list(pool.map(compile_and_evaluate, range(THREADS)))

    assert at_once == alone
