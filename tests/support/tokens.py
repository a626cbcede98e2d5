"""API keys and JWTs for tests of who is let in."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from jwt.algorithms import ECAlgorithm

from gql_app.core.access import Scope
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Json
from gql_app.web.auth.key_writer import change_keys
from gql_app.web.auth.keys import make_key

ISSUER = "https://issuer.example"
AUDIENCE = "gql-app"
BOTH = (Scope.READ, Scope.WRITE)


def add_key(
    path: Path,
    name: str = "tester",
    namespace: str = DEFAULT_NAMESPACE,
    scopes: tuple[Scope, ...] = BOTH,
    expires_at: datetime | None = None,
) -> str:
    """Make a key in a file and give it."""
    now = datetime.now(UTC)
    made = make_key(name=name, namespace=Namespace(namespace), scopes=scopes, created_at=now, expires_at=expires_at)
    change_keys(path, lambda keys: [*keys, made.kept])
    return made.text


def bearer(token: str) -> dict[str, str]:
    """Make the header that brings a token."""
    return {"authorization": f"Bearer {token}"}


class Issuer:
    """Somebody who signs tokens with a key on an elliptic curve."""

    def __init__(self, key_id: str | None = "one", key: EllipticCurvePrivateKey | None = None) -> None:
        self.key = key or generate_private_key(SECP256R1())
        self.key_id = key_id

    @property
    def published(self) -> dict[str, Json]:
        """The public key, as it is published."""
        key = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return key if self.key_id is None else {**key, "kid": self.key_id}

    def sign(self, **claims: Json) -> str:
        """Sign a token that is good for an hour; claims that are None are left out."""
        usual = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": datetime.now(UTC) + timedelta(hours=1),
            "namespace": "team-a",
            "scope": "workflows:read openid",
        }
        told = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(told, self.key, "ES256", {"kid": self.key_id} if self.key_id else None)


@cache
def issuer() -> Issuer:
    """Give the issuer that tests trust."""
    return Issuer()
