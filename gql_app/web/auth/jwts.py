"""JSON Web Tokens: checks them, and reads out of them who comes."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple

import jwt
import msgspec
from jwt import exceptions as faults

from gql_app.core.access import Identity, Scope, parse_namespace
from gql_app.core.ids import Namespace
from gql_app.core.values import Json
from gql_app.web.auth.issuers import KeySource, SigningKeys, UnavailableKeysError
from gql_app.web.gate import UnauthenticatedError

ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})

REMEMBERED_TOKENS: Final = 1_024

_SCOPES: Final = frozenset(Scope)
_MAXIMUM_NAME: Final = 100


class InvalidTokenError(UnauthenticatedError):
    """The token is not good; the message says why."""


class ExpiredTokenError(UnauthenticatedError):
    """The token was good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must be."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    leeway_seconds: float
    namespace_claim: str
    scope_claim: str
    default_namespace: Namespace | None
    """The namespace of tokens without that claim; None if they are refused."""


class _Checked(NamedTuple):
    """A token that was good, by these keys."""

    key_id: str | None
    keys: SigningKeys
    identity: Identity


class TokenReader:
    """Tells who comes with a token. One that was checked is known again, until it expires or its keys change."""

    def __init__(
        self, rules: TokenRules, source: KeySource, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._rules = rules
        self._source = source
        self._now = now
        self._algorithms = sorted(rules.algorithms)
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()

    async def read(self, token: str) -> Identity:
        """Check a token and say who comes with it. Raises `UnauthenticatedError`."""
        digest = sha256(token.encode()).digest()
        checked = self._checked.get(digest)
        if checked is not None and await self._holds(checked):
            return checked.identity
        key_id, algorithm = self._read_head(token)
        keys = await self._find_keys(key_id)
        identity = self._identify(self._check(token, keys, key_id, algorithm))
        self._checked[digest] = _Checked(key_id, keys, identity)
        if len(self._checked) > REMEMBERED_TOKENS:
            self._checked.popitem(last=False)
        return identity

    async def _holds(self, checked: _Checked) -> bool:
        expires_at = checked.identity.expires_at
        in_time = expires_at is not None and self._now() < expires_at
        return in_time and await self._find_keys(checked.key_id) is checked.keys

    async def _find_keys(self, key_id: str | None) -> SigningKeys:
        try:
            return await self._source.keys(key_id)
        except UnavailableKeysError:
            raise InvalidTokenError("The token cannot be checked now: its issuer's keys are not to be had.") from None

    def _read_head(self, token: str) -> tuple[str | None, str]:
        """Read which key and algorithm the token names. Nothing of it is believed yet."""
        try:
            head = jwt.get_unverified_header(token)
        except (faults.PyJWTError, ValueError, RecursionError):
            raise InvalidTokenError("The token is neither one of our API keys nor a JWT.") from None
        algorithm = head.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._rules.algorithms:
            raise InvalidTokenError(f"The token is not signed by one of {', '.join(self._algorithms)}.")
        return head.get("kid"), algorithm

    def _check(self, token: str, keys: SigningKeys, key_id: str | None, algorithm: str) -> Mapping[str, Json]:
        """Check the signature and the claims; give the claims."""
        for key in keys.find(key_id, algorithm):
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=self._algorithms,
                    issuer=self._rules.issuer,
                    audience=self._rules.audience,
                    leeway=self._rules.leeway_seconds,
                    options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
                )
            except faults.InvalidSignatureError:
                continue
            except (faults.PyJWTError, ValueError, RecursionError) as error:
                raise _refuse(error) from None
        raise InvalidTokenError("The token is not signed with a key of its issuer.")

    def _identify(self, claims: Mapping[str, Json]) -> Identity:
        return Identity(
            name=_name(claims),
            namespace=self._namespace(claims),
            scopes=self._scopes(claims),
            expires_at=self._expiry(claims),
            owner=_owner(claims),
        )

    def _namespace(self, claims: Mapping[str, Json]) -> Namespace:
        name, claimed = self._rules.namespace_claim, claims.get(self._rules.namespace_claim)
        if claimed is None:
            if self._rules.default_namespace is None:
                raise InvalidTokenError(f"The token has no claim {name!r}, which names the namespace.")
            return self._rules.default_namespace
        try:
            return parse_namespace(claimed if isinstance(claimed, str) else "")
        except ValueError:
            message = f"The claim {name!r} of the token is not the name of a namespace: up to 63 of a-z, 0-9 and -."
            raise InvalidTokenError(message) from None

    def _scopes(self, claims: Mapping[str, Json]) -> frozenset[Scope]:
        """Read what the bearer may do; scopes that are not ours are for others."""
        claimed = claims.get(self._rules.scope_claim)
        if claimed is None:
            claimed = claims.get("scp")
        words = claimed.split() if isinstance(claimed, str) else claimed
        return frozenset(Scope(word) for word in words if word in _SCOPES) if isinstance(words, list) else frozenset()

    def _expiry(self, claims: Mapping[str, Json]) -> datetime:
        try:
            return datetime.fromtimestamp(int(claims["exp"]) + self._rules.leeway_seconds, UTC)
        except (OverflowError, ValueError, OSError):
            raise InvalidTokenError("The claim 'exp' of the token is not a time.") from None


def _name(claims: Mapping[str, Json]) -> str:
    """Name the bearer for logs, on one line."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        return "jwt"
    return "".join(letter if letter.isprintable() else "?" for letter in subject[:_MAXIMUM_NAME])


def _owner(claims: Mapping[str, Json]) -> str | None:
    """Tell whose the bearer's runs are; nobody's without a subject. A subject is unique within its issuer."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        return None
    return f"jwt:{sha256(msgspec.json.encode([claims.get('iss'), subject])).hexdigest()}"


def _refuse(error: Exception) -> UnauthenticatedError:
    """Put what is wrong with a token into words, without quoting it."""
    match error:
        case faults.ExpiredSignatureError():
            return ExpiredTokenError("The token has expired; get a new one.")
        case faults.ImmatureSignatureError():
            return InvalidTokenError("The token is not valid yet.")
        case faults.InvalidIssuerError():
            return InvalidTokenError("The token is by another issuer than this service trusts.")
        case faults.InvalidAudienceError():
            return InvalidTokenError("The token is for another audience than this service.")
        case faults.MissingRequiredClaimError():
            return InvalidTokenError(f"The token has no claim {error.claim!r}.")
        case _:
            return InvalidTokenError("The token is malformed.")
