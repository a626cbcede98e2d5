"""The tool `value.transform`."""

import pytest

from gql_app.core.errors import ExpressionError, InvalidInputError
from gql_app.core.values import Json
from gql_app.sandbox.sandbox import Sandbox
from gql_app.tools.transform import transform
from tests.support.tools import CONTEXT

pytestmark = pytest.mark.anyio


async def evaluate(sandbox: Sandbox, expression: str, value: Json = None) -> Json:
    tool = transform(sandbox)
    return await tool.call(tool.parse({"expression": expression, "value": value}), CONTEXT)


@pytest.mark.parametrize(
    ("expression", "value", "result"),
    [
        ("value", {"a": 1}, {"a": 1}),
        ("value.items.map(item, item.price * 2.0)", {"items": [{"price": 1.5}]}, [3.0]),
        ("value.filter(x, x > 1)", [1, 2, 3], [2, 3]),
        ("{'count': size(value)}", [1, 2], {"count": 2}),
        ("value == null", None, True),
        ("timestamp(value)", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
    ],
)
async def test_an_expression_is_evaluated_over_the_value(
    sandbox: Sandbox, expression: str, value: Json, result: Json
) -> None:
    assert await evaluate(sandbox, expression, value) == result


@pytest.mark.parametrize("expression", ["input.x", "nodes.a.output", "run.id", "vlaue + 1"])
async def test_only_the_value_is_in_scope(sandbox: Sandbox, expression: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await evaluate(sandbox, expression)

    assert "undeclared reference" in str(caught.value)
    assert "In scope are `value` and CEL's standard functions" in str(caught.value)


async def test_a_syntax_error_is_told_with_its_place(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await evaluate(sandbox, "value +")

    assert "The expression cannot work: " in str(caught.value)
    assert "^" in str(caught.value)


async def test_a_failing_evaluation_quotes_the_expression(sandbox: Sandbox) -> None:
    with pytest.raises(ExpressionError, match=r"Expression `value\.missing` failed") as caught:
        await evaluate(sandbox, "value.missing", {})

    assert not caught.value.retryable


async def test_comprehensions_are_limited_as_in_documents(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidInputError, match="3 comprehensions; 2 are allowed"):
        await evaluate(sandbox, "value.map(a, value.map(b, value.map(c, c)))", [1])
