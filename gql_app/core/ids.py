"""The identifiers of runs and nodes."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, NewType, TypeAlias

import msgspec

RunId = NewType("RunId", str)
"""A run: the canonical text of a UUIDv7."""

Namespace = NewType("Namespace", str)
"""A room of its own for runs and idempotency keys."""

DEFAULT_NAMESPACE: Final = Namespace("default")
NODE_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
RESERVED_NODE_IDS: Final = frozenset({"in", "true", "false", "null"})
"""Words that CEL does not let stand after a dot."""


class NodeKey(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """A node of a run; `index` is for the items of one that is fanned out."""

    id: str
    index: int | None = None

    def __str__(self) -> str:
        return self.id if self.index is None else f"{self.id}[{self.index}]"


class StepKey(NamedTuple):
    """A step inside an attempt of a node; the id of one inside another step is `outer/inner`."""

    node: NodeKey
    step: str

    def enclosing(self) -> "Iterator[Holder]":
        """Tell what the step is part of, from the inside out: steps around it, and the node."""
        outer, _, inner = self.step.rpartition("/")
        while inner and outer:
            yield StepKey(self.node, outer)
            outer, _, inner = outer.rpartition("/")
        yield self.node


Holder: TypeAlias = NodeKey | StepKey
"""What can hold a slot."""


def make_run_id(unix_milliseconds: int, random: bytes) -> RunId:
    """Lay out a UUIDv7 (RFC 9562, section 5.7) from a time and ten random bytes."""
    if len(random) != 10:
        raise ValueError(f"A run id needs 10 random bytes, not {len(random)}.")
    number = (unix_milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(random, "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    text = f"{number:032x}"
    return RunId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
