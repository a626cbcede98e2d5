"""API keys: what is shown once to who gets one, and what is kept of it."""

import hmac
import re
import secrets
from base64 import b32encode
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final, NamedTuple

import msgspec

from gql_app.core.access import Identity, Scope
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace

PREFIX: Final = "gqlapp_"
"""What every key begins with, so that people and scanners of secrets know one when they see it."""
MAXIMUM_NAME: Final = 64

_TEXT: Final = re.compile(rf"{PREFIX}([0-9a-f]{{12}})_[a-z2-7]{{52}}")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is kept of a key: who it is for, and a digest that nobody gets the key back from."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{12}$")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=MAXIMUM_NAME)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    created_at: Annotated[datetime, msgspec.Meta(tz=True)]
    namespace: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")] = DEFAULT_NAMESPACE
    scopes: tuple[Scope, ...] = ()
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    revoked_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None

    def fits(self, text: str) -> bool:
        """Tell whether a text is this key, in a time that tells nothing."""
        return hmac.compare_digest(_digest(text), self.sha256)

    def fault(self, now: datetime) -> str | None:
        """Say why the key is not good any more, if it is not."""
        if self.revoked_at is not None:
            return "has been revoked"
        return "has expired" if self.expires_at is not None and self.expires_at <= now else None

    @property
    def identity(self) -> Identity:
        """Who comes with it."""
        return Identity(
            name=self.name,
            namespace=Namespace(self.namespace),
            scopes=frozenset(self.scopes),
            expires_at=self.expires_at,
            key_id=self.id,
            owner=f"key:{self.name}",
        )


class NewKey(NamedTuple):
    """A key that was just made. `text` is the key itself: show it, and forget it."""

    kept: ApiKey
    text: str


def make_key(
    *, name: str, namespace: Namespace, scopes: tuple[Scope, ...], created_at: datetime, expires_at: datetime | None
) -> NewKey:
    """Make a key of 256 random bits."""
    key_id = secrets.token_hex(6)
    secret = b32encode(secrets.token_bytes(32)).decode().rstrip("=").lower()
    text = f"{PREFIX}{key_id}_{secret}"
    kept = ApiKey(
        id=key_id,
        name=name,
        namespace=namespace,
        scopes=scopes,
        sha256=_digest(text),
        created_at=created_at,
        expires_at=expires_at,
    )
    return NewKey(kept, text)


def key_id_of(text: str) -> str | None:
    """Read the id out of a key; None if it is not the text of one."""
    found = _TEXT.fullmatch(text)
    return found[1] if found else None


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
