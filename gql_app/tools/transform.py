"""The tool `value.transform`."""

from functools import lru_cache
from typing import Annotated, Final

from pydantic import Field

from gql_app.core.cel import CEL_FORMAT, MAXIMUM_BYTES, SCOPE_HINT, InvalidExpression, Program
from gql_app.core.errors import InvalidInputError
from gql_app.core.values import Json
from gql_app.ports import Evaluator, Tool, ToolContext
from gql_app.tools.decorator import tool

CACHED_EXPRESSIONS: Final = 128
_HINT: Final = "In scope are `value` and CEL's standard functions; write the expression without `${ }`."

Expression = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAXIMUM_BYTES,
        json_schema_extra={"format": CEL_FORMAT},
        description="A CEL expression over `value`, without `${ }`: `value.items.map(item, item.name)`.",
    ),
]
Value = Annotated[Json, Field(description="What the expression is about.")]


def transform(evaluator: Evaluator) -> Tool:
    """Make the tool; what could cost much is evaluated where the evaluator says."""

    @tool(name="value.transform")
    async def transform(context: ToolContext, expression: Expression, value: Value = None) -> Json:
        """Evaluate a CEL expression over a value and return its result."""
        program, scope = _compile(expression), {"value": value}
        return await evaluator.evaluate(program, scope, namespace=context.namespace, run_id=context.run_id)

    return transform


@lru_cache(maxsize=CACHED_EXPRESSIONS)
def _compile(expression: str) -> Program:
    try:
        return Program(expression, frozenset({"value"}))
    except InvalidExpression as error:
        hint = _HINT if error.hint in (None, SCOPE_HINT) else error.hint
        raise InvalidInputError(f"The expression cannot work: {error.message}\n{hint}") from error
