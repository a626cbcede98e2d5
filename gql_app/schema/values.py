"""How a run's values are read: at once where they stand in the run, else from the store."""

import json
from collections.abc import Awaitable
from typing import Annotated, TypeAlias

import strawberry
from strawberry.scalars import JSON

from gql_app.core.errors import InvalidArgumentError
from gql_app.core.run import WorkflowRun
from gql_app.core.scope import decode
from gql_app.core.values import Json, Value
from gql_app.schema.context import Info
from gql_app.schema.pointer import parse_pointer, select

Pointer: TypeAlias = Annotated[
    str | None,
    strawberry.argument(
        description=(
            "A JSON Pointer (RFC 6901), such as `/items/0/name`, to the part that is wanted; null is told"
            " where there is no such part. Without it, the whole value."
        )
    ),
]
PreviewLength: TypeAlias = Annotated[
    int, strawberry.argument(description="How many characters at most, from 1 to 10,000.")
]
MAXIMUM_PREVIEW = 10_000


def read_value(info: Info, run: WorkflowRun, value: Value, pointer: str | None) -> JSON:
    """Give the part of a value that a pointer leads to, or the awaitable of it for a value that is stored apart."""
    path = parse_pointer(pointer or "")
    if value.inline:
        return JSON(select(decode(value, {}), path))
    return JSON(select_from(info.context.service.value(run, value), path))


async def select_from(value: Awaitable[Json], path: tuple[str, ...]) -> Json:
    """Await a value and give the part of it that a path leads to."""
    return select(await value, path)


async def preview_value(info: Info, run: WorkflowRun, value: Value, length: int) -> str | None:
    """Write the beginning of a value as JSON; None for null. Raises `InvalidArgumentError`."""
    if not 1 <= length <= MAXIMUM_PREVIEW:
        raise InvalidArgumentError("length", length, f"it must be from 1 to {MAXIMUM_PREVIEW}.")
    told = decode(value, {}) if value.inline else await info.context.service.value(run, value)
    if told is None:
        return None
    text = json.dumps(told, ensure_ascii=False)
    return text if len(text) <= length else f"{text[: length - 1]}…"
