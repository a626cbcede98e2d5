"""Who asks: what they may do, and in which room."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace

_NAMESPACE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def parse_namespace(text: str) -> Namespace:
    """Read the name of a namespace. Raises `ValueError`."""
    if _NAMESPACE.fullmatch(text) is None:
        shown = text if len(text) <= 80 else f"{text[:80]}…"
        raise ValueError(
            f"{shown!r} is not the name of a namespace: use up to 63 of a-z, 0-9 and -, a letter or digit first."
        )
    return Namespace(text)


class Scope(StrEnum):
    """What somebody may do; `ADMIN` includes the others."""

    READ = "workflows:read"
    WRITE = "workflows:write"
    ADMIN = "admin"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was let in. `name` is for logs; `key_id` names the key they came with, if it was one of ours."""

    name: str
    namespace: Namespace = DEFAULT_NAMESPACE
    scopes: frozenset[Scope] = frozenset()
    expires_at: datetime | None = None
    """When they have to come with a new token."""
    key_id: str | None = None
    owner: str | None = None
    """Whose their runs are: the same whenever they come back, and nobody else's. Names may be those of several."""

    def may(self, scope: Scope) -> bool:
        """Tell whether they may do what a scope stands for."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    @property
    def signature(self) -> str | None:
        """What they sign a run with that they submit; nobody who is anybody signs."""
        return None if self == ANYBODY else self.name


ANYBODY: Final = Identity(name="anybody", scopes=frozenset(Scope))
"""Whoever reaches a service that asks nobody who they are."""
