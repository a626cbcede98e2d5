"""What a tool returns, as JSON."""

from typing import Final

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from gql_app.core.errors import InvalidOutputError
from gql_app.core.values import Json
from gql_app.tools.schemas import json_schema

_MESSAGE_CHARACTERS: Final = 300


class Results:
    """The return values of one tool; without an annotation they are left as they are."""

    __slots__ = ("_always_null", "_serializer", "schema")

    def __init__(self, adapter: TypeAdapter[Json] | None) -> None:
        # Every attempt passes here: the adapter's own method would only add to the cost.
        self._serializer = None if adapter is None else adapter.serializer
        self.schema: Json = True if adapter is None else json_schema(adapter, "serialization")
        self._always_null = isinstance(self.schema, dict) and self.schema.get("type") == "null"

    def dump(self, result: Json) -> Json:
        """Make JSON of models, dates and the like. Raises `InvalidOutputError` for what does not fit the annotation."""
        if self._serializer is None or (result is None and self._always_null):
            return result
        try:
            return self._serializer.to_python(result, mode="json", by_alias=True, warnings="error")
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:_MESSAGE_CHARACTERS]
            raise InvalidOutputError(
                f"The tool returned a {type(result).__name__} that does not fit its annotation: {reason}"
            ) from error
