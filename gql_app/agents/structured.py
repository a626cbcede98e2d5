"""Structured output: asked for by a schema, checked by it, and asked for again when it does not fit."""

import json
from itertools import islice
from typing import Any, Final

import msgspec
from pydantic import TypeAdapter
from pydantic_ai import ModelRetry, NativeOutput, StructuredDict, ToolOutput
from pydantic_ai.exceptions import UserError

from gql_app.agents.input import OutputMode
from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.core.json_schema import InvalidSchema, Schema, TooExpensive, check_schema, explain, locate
from gql_app.core.values import Json

TRIES: Final = 3
"""How often in all an output may not fit."""
_PROBLEMS: Final = 5
_NAME: Final = "final_answer"
_DESCRIPTION: Final = "Give the final answer, which ends the work."


class StructuredOutput:
    """What a schema asks of an output. Models answer with objects: what is none is wrapped in one."""

    def __init__(self, schema: Json, mode: OutputMode) -> None:
        """Take a schema. Raises `InvalidInputError` for one that is not sound, or too big."""
        try:
            self._schema: Schema = check_schema(msgspec.json.encode(schema))
        except InvalidSchema as error:
            where = f" at {error.pointer}" if error.pointer else ""
            raise InvalidInputError(f"`outputSchema` is not a JSON Schema{where}: {error.message}") from error
        except TooExpensive as error:
            raise InvalidInputError(f"`outputSchema`: {error}") from error
        self.wraps = not (isinstance(schema, dict) and schema.get("type") == "object")
        shape = _shape(schema, wraps=self.wraps)
        self.type: Any = (
            NativeOutput(shape, name=_NAME)
            if mode is OutputMode.NATIVE
            else ToolOutput(shape, name=_NAME, description=_DESCRIPTION, strict=False)
        )

    def unwrap(self, answer: Json) -> Json:
        """Check an answer and take the output out of it. Raises `ModelRetry` for what does not fit."""
        if self.wraps and not (isinstance(answer, dict) and answer.keys() == {"output"}):
            raise ModelRetry("The answer must be an object with one field, `output`.")
        output = answer["output"] if self.wraps else answer
        try:
            problems = [f"At {locate(error) or '/'}: {explain(error)}" for error in self._errors(output)]
        except (InvalidSchema, TooExpensive) as error:
            message = f"The answer cannot be checked against `outputSchema`: {error}"
            raise ToolError(message, type="InvalidInput", retryable=False) from error
        if problems:
            raise ModelRetry("The answer does not fit its schema. " + " ".join(problems))
        return output

    def _errors(self, output: Json) -> Any:
        return islice(self._schema.errors(output), _PROBLEMS)


def _shape(schema: Json, *, wraps: bool) -> Any:
    """Make the type that tells a model the schema, or, where providers cannot be told it, describes it in words."""
    asked: dict[str, Json] = schema
    if wraps:
        inner = dict(schema) if isinstance(schema, dict) else {}
        asked = {"type": "object", "properties": {"output": inner}, "required": ["output"]}
        if "$defs" in inner:
            asked["$defs"] = inner.pop("$defs")
    try:
        shape = StructuredDict(asked, name=_NAME)
        # References that go in circles show only here.
        TypeAdapter(shape).json_schema()
        return shape
    except (UserError, LookupError, ValueError, RecursionError):
        words = f"It fits this JSON Schema: {json.dumps(schema, ensure_ascii=False)}"
        fields: dict[str, Json] = {"output": {"description": words}} if wraps else {}
        return StructuredDict({"type": "object", "description": words, "properties": fields}, name=_NAME)
