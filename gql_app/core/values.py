"""JSON values as they travel through a run: small ones inline, big ones by reference."""

from typing import Any, Final, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

Json: TypeAlias = Any
"""Anything `json.loads` can return; the one place where `Any` is allowed."""

INLINE_BYTES: Final = 1024
"""Encoded values up to this size stand in their event; bigger ones are stored once, beside the log."""


class Frozen(BaseModel):
    """A value that crosses a boundary: immutable, strict, camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class Value(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An encoded JSON value of `size` bytes: `json` holds it if inline, else `sha256` says where it is stored."""

    json: msgspec.Raw = msgspec.Raw(b"null")
    size: int = 4
    sha256: str | None = None

    @property
    def inline(self) -> bool:
        """Whether the value stands here and need not be fetched."""
        return self.sha256 is None


NULL: Final = Value()
"""The value `null`."""
NO_FIELDS: Final = msgspec.Raw(b"{}")
"""The JSON object with nothing in it."""
