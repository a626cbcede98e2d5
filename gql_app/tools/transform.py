"""The tool `value.transform`."""

from functools import lru_cache
from typing import Annotated, Final

from pydantic import Field

from gql_app.core.cel import CEL_FORMAT, MAXIMUM_BYTES, SCOPE_HINT, InvalidExpression, Program
from gql_app.core.errors import InvalidInputError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import Evaluator, ToolContext
from gql_app.tools.decorator import tool

CACHED_EXPRESSIONS: Final = 128
_HINT: Final = "In scope are `value` and CEL's standard functions; write the expression without `${ }`."


class Transform:
    """The tool. What could cost much is evaluated where the evaluator says."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._tool = tool(name="value.transform")(self._transform)

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        return self._tool.definition

    def parse(self, value: Json) -> Json:
        """Check a resolved input. Raises `InvalidInputError`."""
        return self._tool.parse(value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Evaluate the expression."""
        return await self._tool.call(arguments, context)

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Refuse: the tool is async."""
        raise TypeError("value.transform is async: await `call`.")

    async def _transform(
        self,
        context: ToolContext,
        expression: Annotated[
            str,
            Field(
                min_length=1,
                max_length=MAXIMUM_BYTES,
                json_schema_extra={"format": CEL_FORMAT},
                description="A CEL expression over `value`, without `${ }`: `value.items.map(item, item.name)`.",
            ),
        ],
        value: Annotated[Json, Field(description="What the expression is about.")] = None,
    ) -> Json:
        """Evaluate a CEL expression over a value and return its result."""
        program = _compile(expression)
        return await self._evaluator.evaluate(
            program, {"value": value}, namespace=context.namespace, run_id=context.run_id
        )


@lru_cache(maxsize=CACHED_EXPRESSIONS)
def _compile(expression: str) -> Program:
    try:
        return Program(expression, frozenset({"value"}))
    except InvalidExpression as error:
        hint = _HINT if error.hint in (None, SCOPE_HINT) else error.hint
        raise InvalidInputError(f"The expression cannot work: {error.message}\n{hint}") from error
