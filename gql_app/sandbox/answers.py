"""What a worker process answers."""

import msgspec

from gql_app.core.values import Json

MAXIMUM_BYTES = 16 << 20
"""Of a result as JSON: no tool is handed more, and whoever reads it must have room for it."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The results of an evaluation, or why there are none; `last` says that the worker has grown too big and ends."""

    results: msgspec.Raw = msgspec.Raw(b"[]")
    expression: str | None = None
    """Which expression failed."""
    reason: str | None = None
    out_of_memory: bool = False
    last: bool = False

    def read(self) -> list[Json]:
        """Decode the results."""
        return msgspec.json.decode(self.results, type=list[Json])
