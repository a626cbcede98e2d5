"""No request within the limits of bytes takes long, whatever it holds.

Time would depend on the machine, so calls are counted: of Python functions and of those in C, from the text to the
answer. On a machine of 2024, `MAXIMUM_CALLS` of them take some 50 ms. `benchmarks/graphql.py` measures the time.
"""

import sys
from types import FrameType
from typing import Self

import pytest

from gql_app.core.values import Json
from gql_app.schema.execution import RefusedOperationError
from tests.support.graphql import Api, GraphQLResult, read_answer, read_body
from tests.support.hostile import REQUESTS
from tests.support.service import Stage

pytestmark = pytest.mark.anyio

MAXIMUM_CALLS = 240_000
MAXIMUM_TOLD = 200_000


class Counter:
    """Counts calls while it is entered."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _count(self, _: FrameType, event: str, __: Json) -> None:
        self.calls += event in {"call", "c_call"}


@pytest.mark.parametrize("name", REQUESTS)
async def test_no_request_takes_long_or_is_answered_with_much_that_it_brought(name: str) -> None:
    api = Api(Stage().service)

    with Counter() as counter:
        result = await carry_out(api, name)

    assert counter.calls < MAXIMUM_CALLS
    assert all(error.extensions.get("code") != "INTERNAL" for error in result.errors or ())
    assert len(result.errors or ()) <= 20
    assert len(str(result.errors)) < MAXIMUM_TOLD


async def carry_out(api: Api, name: str) -> GraphQLResult:
    try:
        operation = api.operations.prepare(REQUESTS[name], api.identity)
    except RefusedOperationError as refusal:
        return read_body(refusal.body, began=False)
    return read_answer(await api.operations.execute(operation, api.context))
