"""The keys that JWTs are signed with: from a file, or from where their issuer publishes them."""

import asyncio
import logging
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import httpx
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from gql_app.core.values import Json
from gql_app.files.private import MAXIMUM_BYTES, PrivateFileError, read_private
from gql_app.files.watched import WatchedFile

logger: Final = logging.getLogger(__name__)

FRESH_SECONDS: Final = 600.0
"""How long published keys are taken for what they were."""
PAUSE_SECONDS: Final = 10.0
"""How long nobody makes us fetch them again, whatever keys tokens name."""
STALE_SECONDS: Final = 86_400.0
"""How long the last ones hold while they cannot be fetched."""
FETCH_SECONDS: Final = 5.0
MAXIMUM_PUBLISHED_BYTES: Final = 256 << 10
MAXIMUM_KEYS: Final = 100


class UnavailableKeysError(Exception):
    """The keys cannot be had now."""


class SigningKeys:
    """A set of keys, as JSON Web Keys."""

    def __init__(self, keys: Sequence[dict[str, Json]]) -> None:
        self._keys = [key for key in keys[:MAXIMUM_KEYS] if key.get("use", "sig") == "sig"]
        self._ids = {key.get("kid") for key in self._keys}
        self._made: dict[tuple[int, str], PyJWK | None] = {}

    def knows(self, key_id: str | None) -> bool:
        """Tell whether a token that names this key, or none, can be checked."""
        return bool(self._keys) if key_id is None else key_id in self._ids or None in self._ids

    def find(self, key_id: str | None, algorithm: str) -> list[PyJWK]:
        """Find the keys that a token may be signed with: that of the id it names, else all without one."""
        wanted = {key_id} if key_id is not None and key_id in self._ids else {None}
        chosen = (index for index, key in enumerate(self._keys) if key_id is None or key.get("kid") in wanted)
        return [key for index in chosen if (key := self._make(index, algorithm)) is not None]

    def _make(self, index: int, algorithm: str) -> PyJWK | None:
        """Make the key for an algorithm; None if it is not one of that kind, or made for another."""
        place = index, algorithm
        if place not in self._made:
            data = self._keys[index]
            try:
                fits = data.get("alg", algorithm) == algorithm
                self._made[place] = PyJWK(data, algorithm) if fits else None
            except (PyJWTError, ValueError, TypeError, KeyError):
                self._made[place] = None
        return self._made[place]


class KeySource(Protocol):
    """Where the keys come from."""

    async def keys(self, key_id: str | None) -> SigningKeys:
        """Give the keys, looking for new ones if that one is not among them. Raises `UnavailableKeysError`."""
        ...


class KeysOfFile:
    """The keys in a file, which is read again when it changes."""

    def __init__(self, path: Path, read: Callable[[Path], SigningKeys]) -> None:
        self._file = WatchedFile(path, read)

    async def keys(self, key_id: str | None) -> SigningKeys:
        """Give what stands in the file."""
        return self._file.content


class PublishedKeys:
    """The keys at a URL (JWKS), fetched when they are needed and no oftener than every few seconds."""

    def __init__(
        self, url: str, *, fetch: Callable[[str], Awaitable[bytes]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: SigningKeys | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def keys(self, key_id: str | None) -> SigningKeys:
        """Give what is published."""
        age = self._monotonic() - self._fetched_at
        known = self._keys is not None and self._keys.knows(key_id)
        if not known or (age > FRESH_SECONDS and not self._fetching.locked()):
            await self._refresh()
        if self._keys is None or self._monotonic() - self._fetched_at > STALE_SECONDS:
            raise UnavailableKeysError
        return self._keys

    async def _refresh(self) -> None:
        async with self._fetching:
            if self._monotonic() - self._tried_at < PAUSE_SECONDS:
                return
            self._tried_at = self._monotonic()
            try:
                self._keys = parse_key_set(await self._fetch(self._url))
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
                logger.error("The keys at %s cannot be had: %s", self._url, str(error) or type(error).__name__)
            else:
                self._fetched_at = self._monotonic()


async def fetch(url: str) -> bytes:
    """Fetch a key set. Raises `httpx.HTTPError`, `httpx.InvalidURL`, `TimeoutError` and `ValueError`."""
    data = bytearray()
    async with (
        asyncio.timeout(FETCH_SECONDS),
        httpx.AsyncClient(timeout=FETCH_SECONDS) as client,
        client.stream("GET", url, headers={"accept": "application/json"}) as response,
    ):
        response.raise_for_status()
        async for part in response.aiter_bytes():
            data += part
            if len(data) > MAXIMUM_PUBLISHED_BYTES:
                raise ValueError(f"the answer has more than {MAXIMUM_PUBLISHED_BYTES} bytes.")
    return bytes(data)


def parse_key_set(data: bytes) -> SigningKeys:
    """Read a key set (RFC 7517). Raises `ValueError`."""
    try:
        keys = msgspec.json.decode(data, type=dict[str, Json]).get("keys")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is not a key set: {error}.") from None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ValueError("it is not a key set: it has no list `keys` of objects.")
    return SigningKeys(keys)


def read_public_keys(path: Path) -> SigningKeys:
    """Read a key set, or one public key in PEM. Raises `PrivateFileError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_BYTES)
    except OSError as error:
        raise PrivateFileError(f"{path} cannot be read: {error.strerror or error}.") from None
    try:
        return parse_key_set(data) if data.lstrip().startswith(b"{") else SigningKeys([_from_pem(data)])
    except (ValueError, UnsupportedAlgorithm, PyJWTError) as error:
        raise PrivateFileError(f"{path} holds neither a key set nor a public key in PEM: {error}") from None


def read_secret(path: Path) -> SigningKeys:
    """Read a secret that tokens are signed and checked with. Raises `PrivateFileError`."""
    try:
        secret = read_private(path).strip()
    except FileNotFoundError:
        raise PrivateFileError(f"{path} is not there.") from None
    if len(secret) < 32:
        raise PrivateFileError(f"{path}: the secret must have 32 bytes at least.")
    return SigningKeys([{"kty": "oct", "k": urlsafe_b64encode(secret).rstrip(b"=").decode()}])


def _from_pem(data: bytes) -> dict[str, Json]:
    key = load_pem_public_key(data)
    if isinstance(key, RSAPublicKey):
        return RSAAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, EllipticCurvePublicKey):
        return ECAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        return OKPAlgorithm.to_jwk(key, as_dict=True)
    raise ValueError("it is not of RSA, of an elliptic curve, or an Ed25519 or Ed448 key.")
