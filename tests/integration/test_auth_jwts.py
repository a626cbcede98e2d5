"""Which JWTs are let in, and who comes with them."""

import base64
import dataclasses
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gql_app.core.access import Scope
from gql_app.core.ids import Namespace
from gql_app.core.values import Json
from gql_app.files.private import PrivateFileError
from gql_app.web.auth.issuers import (
    FRESH_SECONDS,
    MAXIMUM_PUBLISHED_BYTES,
    PAUSE_SECONDS,
    STALE_SECONDS,
    KeysOfFile,
    KeySource,
    PublishedKeys,
    SigningKeys,
    fetch,
    read_public_keys,
    read_secret,
)
from gql_app.web.auth.jwts import (
    ASYMMETRIC,
    REMEMBERED_TOKENS,
    SYMMETRIC,
    ExpiredTokenError,
    InvalidTokenError,
    TokenReader,
    TokenRules,
)
from tests.support.static_server import static_server
from tests.support.tokens import AUDIENCE, ISSUER, Issuer, issuer

pytestmark = pytest.mark.anyio


class FixedKeys:
    """Keys that are always the same."""

    def __init__(self, *keys: dict[str, Json]) -> None:
        self._keys = SigningKeys(keys)

    async def keys(self, key_id: str | None) -> SigningKeys:
        return self._keys


RULES = TokenRules(
    issuer=ISSUER,
    audience=AUDIENCE,
    algorithms=ASYMMETRIC,
    leeway_seconds=30.0,
    namespace_claim="namespace",
    scope_claim="scope",
    default_namespace=None,
)


def reader(source: KeySource | None = None, **rules: Json) -> TokenReader:
    return TokenReader(dataclasses.replace(RULES, **rules), source or FixedKeys(issuer().published))


async def test_a_token_says_who_comes() -> None:
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)

    identity = await reader().read(issuer().sign(exp=expires_at))

    assert (identity.name, identity.namespace) == ("alice", "team-a")
    assert identity.scopes == {Scope.READ}
    assert identity.expires_at == expires_at + timedelta(seconds=30)


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "workflows:read workflows:write openid"},
        {"scope": ["workflows:read", "workflows:write", 1, None]},
        {"scope": None, "scp": ["workflows:write", "workflows:read"]},
        {"scope": None, "scp": "workflows:write workflows:read"},
    ],
)
async def test_scopes_come_as_words_or_as_a_list(claims: Json) -> None:
    identity = await reader().read(issuer().sign(**claims))

    assert identity.scopes == {Scope.READ, Scope.WRITE}


@pytest.mark.parametrize("scope", [None, "", 1, {"admin": True}, "ADMIN workflows"])
async def test_without_scopes_of_ours_nobody_may_do_anything(scope: Json) -> None:
    identity = await reader().read(issuer().sign(scope=scope))

    assert identity.scopes == frozenset()


async def test_the_names_of_claims_can_be_set() -> None:
    token = issuer().sign(**{"namespace": None, "https://example/room": "team-b", "permissions": ["admin"]})

    identity = await reader(namespace_claim="https://example/room", scope_claim="permissions").read(token)

    assert identity.namespace == "team-b"
    assert identity.scopes == {Scope.ADMIN}


async def test_a_token_without_namespace_gets_the_one_that_is_set_or_is_refused() -> None:
    token = issuer().sign(namespace=None)

    identity = await reader(default_namespace=Namespace("guests")).read(token)

    assert identity.namespace == "guests"
    with pytest.raises(InvalidTokenError, match="no claim 'namespace'"):
        await reader().read(token)


@pytest.mark.parametrize("namespace", ["Team A", "", "../default", 1, ["team-a"], "a" * 64])
async def test_a_namespace_that_is_none_is_refused(namespace: Json) -> None:
    with pytest.raises(InvalidTokenError, match="is not the name of a namespace"):
        await reader(default_namespace=Namespace("guests")).read(issuer().sign(namespace=namespace))


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"iss": "https://evil.example"}, "by another issuer"),
        ({"iss": None}, "no claim 'iss'"),
        ({"aud": "another"}, "for another audience"),
        ({"aud": None}, "no claim 'aud'"),
        ({"exp": None}, "no claim 'exp'"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": 10**30}, "is not a time"),
        ({"nbf": 2**31}, "not valid yet"),
        ({"iat": 2**31}, "not valid yet"),
        ({"sub": 1}, "malformed"),
    ],
)
async def test_a_token_that_is_not_for_us_is_refused(claims: Json, message: str) -> None:
    told = {"iss": ISSUER, "aud": AUDIENCE, "exp": 2**31, "namespace": "team-a", **claims}
    # Not by the usual way, which refuses to sign some of these.
    payload = json.dumps({name: value for name, value in told.items() if value is not None}).encode()
    token = jwt.api_jws.encode(payload, issuer().key, "ES256", {"kid": "one"})

    with pytest.raises(InvalidTokenError, match=message) as refused:
        await reader().read(token)

    assert token not in str(refused.value)


async def test_a_token_that_has_expired_is_refused_but_for_a_leeway() -> None:
    token = issuer().sign(exp=datetime.now(UTC) - timedelta(seconds=10))

    assert (await reader(leeway_seconds=600.0).read(token)).name == "alice"
    with pytest.raises(ExpiredTokenError, match="has expired"):
        await reader(leeway_seconds=0.0).read(token)


async def test_a_token_that_was_good_is_known_again_until_it_expires() -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    now = end - timedelta(minutes=1)
    tokens, token = TokenReader(RULES, FixedKeys(issuer().published), lambda: now), issuer().sign(exp=end)

    first, again = await tokens.read(token), await tokens.read(token)

    assert first is again
    # Ours is behind the clock that the token is checked by: it must be checked again, and is still good.
    now = end + timedelta(minutes=1)
    assert await tokens.read(token) is not first


async def test_only_so_many_tokens_are_remembered() -> None:
    tokens, token = reader(), issuer().sign()
    first = await tokens.read(token)

    for number in range(REMEMBERED_TOKENS):
        await tokens.read(issuer().sign(sub=str(number)))

    assert await tokens.read(token) is not first


async def test_a_name_cannot_break_out_of_its_line_in_the_log() -> None:
    identity = await reader().read(issuer().sign(sub="alice\nroot\x1b[31m" + "x" * 1000))

    assert identity.name.startswith("alice?root?")
    assert len(identity.name) == 100


def unsigned(head: Json, claims: Json) -> str:
    def part(value: Json) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(head)}.{part(claims)}."


async def test_a_token_without_signature_is_refused() -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": 2**31, "namespace": "team-a"}

    for name in ("none", "None", "NONE", "", None, 1, ["ES256"]):
        with pytest.raises(InvalidTokenError):
            await reader().read(unsigned({"alg": name, "typ": "JWT"}, claims))


async def test_a_public_key_is_no_secret_to_sign_with() -> None:
    public = issuer().key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = jwt.api_jws.encode(b"{}", b"x" * 32, "HS256", {"kid": "one"})
    secret = {"kty": "oct", "kid": "one", "k": base64.urlsafe_b64encode(public).decode()}

    with pytest.raises(InvalidTokenError, match="not signed by one of"):
        await reader(FixedKeys(issuer().published, secret)).read(forged)


async def test_a_token_of_somebody_else_is_refused_whatever_key_it_names() -> None:
    for key_id in ("one", "two", None):
        with pytest.raises(InvalidTokenError, match="not signed with a key of its issuer"):
            await reader().read(Issuer(key_id).sign())


async def test_a_key_is_used_for_its_own_algorithm_only() -> None:
    published = {**issuer().published, "alg": "ES384"}

    with pytest.raises(InvalidTokenError, match="not signed with a key of its issuer"):
        await reader(FixedKeys(published)).read(issuer().sign())
    with pytest.raises(InvalidTokenError, match="not signed by one of ES384"):
        await reader(algorithms=frozenset({"ES384"})).read(issuer().sign())


@pytest.mark.parametrize(
    "token",
    [
        "a",
        "a.b",
        "a.b.c",
        "....",
        "e30.e30.e30",
        base64.urlsafe_b64encode(b"[" * 8_000).decode().rstrip("=") + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":' + b"9" * 5_000 + b"}").decode().rstrip("=") + ".e30.e30",
        unsigned({"alg": "ES256", "kid": 1}, {}),
        unsigned({"alg": "ES256", "kid": {"a": 1}}, {}),
        unsigned({"alg": "ES256", "crit": ["exp"]}, {}),
    ],
)
async def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError) as refused:
        await reader().read(token)

    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("kind", ["EC", "RSA", "Ed25519"])
async def test_a_key_may_stand_in_a_file_and_be_replaced_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "issuer.pem"
    names = {"EC": "ES256", "RSA": "PS256", "Ed25519": "EdDSA"}
    makers: dict[str, Callable[[], Json]] = {
        "EC": lambda: Issuer().key,
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    first, second = makers[kind](), makers[kind]()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": 2**31, "namespace": "team-a"}
    path.write_bytes(first.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    tokens = reader(KeysOfFile(path, read_public_keys))

    assert (await tokens.read(jwt.encode(claims, first, names[kind]))).namespace == "team-a"
    path.write_bytes(second.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert (await tokens.read(jwt.encode(claims, second, names[kind]))).namespace == "team-a"
    with pytest.raises(InvalidTokenError):
        await tokens.read(jwt.encode(claims, first, names[kind]))


async def test_a_key_set_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [Issuer("two").published, issuer().published]}), encoding="utf-8")

    assert (await reader(KeysOfFile(path, read_public_keys)).read(issuer().sign())).name == "alice"


@pytest.mark.parametrize("text", ["", "{", "{}", '{"keys": [1]}', "-----BEGIN PUBLIC KEY-----\n", "PRIVATE"])
async def test_a_file_without_public_keys_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "issuer.pem"
    private = issuer().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path.write_text(private if text == "PRIVATE" else text, encoding="utf-8")

    with pytest.raises(PrivateFileError, match="holds neither a key set nor a public key"):
        read_public_keys(path)


async def test_a_secret_signs_only_where_one_is_set(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s" * 64 + "\n", encoding="utf-8")
    path.chmod(0o600)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": 2**31, "namespace": "team-a"}
    tokens = reader(KeysOfFile(path, read_secret), algorithms=SYMMETRIC)

    assert (await tokens.read(jwt.encode(claims, "s" * 64, "HS256"))).namespace == "team-a"
    with pytest.raises(InvalidTokenError):
        await tokens.read(jwt.encode(claims, "t" * 64, "HS256"))
    with pytest.raises(InvalidTokenError):
        await tokens.read(issuer().sign())


@pytest.mark.parametrize(("text", "mode", "message"), [("short", 0o600, "32 bytes"), ("s" * 64, 0o644, "chmod 600")])
def test_a_secret_must_be_long_and_kept(tmp_path: Path, text: str, mode: int, message: str) -> None:
    path = tmp_path / "secret"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)

    with pytest.raises(PrivateFileError, match=message):
        read_secret(path)


class Publisher:
    """Publishes keys, or fails to; the time is what the test says."""

    def __init__(self, *keys: dict[str, Json]) -> None:
        self.keys = list(keys)
        self.failure: Exception | None = None
        self.fetched = 0
        self.now = 1_000.0
        self.source = PublishedKeys("https://issuer.example/keys", fetch=self._fetch, monotonic=lambda: self.now)

    async def _fetch(self, url: str) -> bytes:
        self.fetched += 1
        if self.failure is not None:
            raise self.failure
        return json.dumps({"keys": self.keys}).encode()


async def test_published_keys_are_fetched_once_and_again_when_they_may_have_changed() -> None:
    publisher = Publisher(issuer().published)
    tokens = reader(publisher.source)

    for _ in range(3):
        await tokens.read(issuer().sign())
    assert publisher.fetched == 1
    publisher.now += FRESH_SECONDS + 1
    await tokens.read(issuer().sign())
    assert publisher.fetched == 2


async def test_a_new_key_is_looked_for_but_not_at_everybodys_whim() -> None:
    publisher, new = Publisher(issuer().published), Issuer("two")
    tokens = reader(publisher.source)
    await tokens.read(issuer().sign())

    publisher.keys.append(new.published)
    publisher.now += PAUSE_SECONDS
    assert (await tokens.read(new.sign())).name == "alice"
    for number in range(100):
        with pytest.raises(InvalidTokenError):
            await tokens.read(Issuer(f"unknown {number}", new.key).sign())

    assert publisher.fetched == 2


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), TimeoutError(), ValueError("it is not a key set")])
async def test_keys_that_cannot_be_fetched_hold_on_for_a_while(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher(issuer().published)
    tokens = reader(publisher.source)
    token = issuer().sign()
    await tokens.read(token)

    publisher.failure = failure
    publisher.now += FRESH_SECONDS + 1
    assert (await tokens.read(token)).name == "alice"
    publisher.now += STALE_SECONDS
    with pytest.raises(InvalidTokenError, match="cannot be checked now"):
        await tokens.read(token)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


async def test_without_keys_nobody_is_let_in() -> None:
    publisher = Publisher()
    publisher.failure = httpx.ConnectError("refused")

    for _ in range(3):
        with pytest.raises(InvalidTokenError, match="cannot be checked now"):
            await reader(publisher.source).read(issuer().sign())

    assert publisher.fetched == 1


async def test_keys_are_fetched_from_where_their_issuer_publishes_them(tmp_path: Path) -> None:
    write_key_set(tmp_path / "keys.json", issuer().published)
    with static_server(tmp_path) as address:
        identity = await reader(PublishedKeys(f"{address}/keys.json", fetch=fetch)).read(issuer().sign())

    assert identity.name == "alice"


@pytest.mark.parametrize("path", ["/nowhere", "/broken", "/deep", "/big", "/directory"])
async def test_what_is_no_key_set_lets_nobody_in(tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken").write_text("[]", encoding="utf-8")
    (tmp_path / "deep").write_text('{"keys":' + "[" * 100_000, encoding="utf-8")
    (tmp_path / "big").write_text(" " * (MAXIMUM_PUBLISHED_BYTES + 1), encoding="utf-8")
    write_key_set(tmp_path / "directory" / "index.html", issuer().published)
    with static_server(tmp_path) as address:
        tokens = reader(PublishedKeys(f"{address}{path}", fetch=fetch))
        with pytest.raises(InvalidTokenError, match="cannot be checked now"):
            await tokens.read(issuer().sign())

    assert "cannot be had" in caplog.text


def write_key_set(path: Path, *keys: dict[str, Json]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")
