"""Who is let in by key or token, and for how long."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from gql_app.core.access import ANYBODY, Identity, Scope
from gql_app.settings import Settings
from gql_app.web.auth.endings import Endings
from gql_app.web.auth.gate import DeadKeyError, TokenGate, UnknownKeyError
from gql_app.web.auth.key_sources import FileKeys
from gql_app.web.auth.setup import AuthenticationSettingsError, make_gate
from gql_app.web.gate import Gate, UnauthenticatedError
from tests.support.tokens import AUDIENCE, ISSUER, add_key, bearer, issuer

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
async def gate(path: Path) -> AsyncIterator[TokenGate]:
    made = make_gate(Settings(keys_file=str(path)))
    assert isinstance(made, TokenGate)
    async with made.opened():
        yield made


def connection(token: str | None = None) -> HTTPConnection:
    headers = [(name.encode(), value.encode()) for name, value in bearer(token).items()] if token else []
    return HTTPConnection({"type": "http", "headers": headers})


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def revoke_all(path: Path) -> None:
    replace(path, '"revokedAt": null', '"revokedAt": "2026-01-01T00:00:00Z"')


def remove(path: Path) -> None:
    path.unlink()


async def test_without_settings_everybody_is_let_in() -> None:
    assert await make_gate(Settings()).admit(connection("whatever")) is ANYBODY


async def test_who_brings_nothing_may_do_nothing(gate: TokenGate) -> None:
    identity = await gate.admit(connection())

    assert not any(identity.may(scope) for scope in Scope)


async def test_a_key_that_is_made_while_the_gate_is_open_opens_it(gate: TokenGate, path: Path) -> None:
    token = add_key(path, "ci", "team-a")

    by_header, by_payload = await gate.admit(connection(token)), await gate.admit(connection(), {"token": token})

    assert by_header == by_payload
    assert (by_header.name, by_header.namespace) == ("ci", "team-a")


async def test_a_key_that_is_almost_right_is_refused(gate: TokenGate, path: Path) -> None:
    token = add_key(path)
    wrong = token[:-2] + ("ba" if token[-2] == "a" else "aa")

    with pytest.raises(UnknownKeyError) as refused:
        await gate.admit(connection(wrong))

    assert wrong not in str(refused.value)


async def test_a_key_that_is_over_is_refused_and_named(gate: TokenGate, path: Path) -> None:
    revoked = add_key(path, "lost")
    revoke_all(path)
    expired = add_key(path, "old", expires_at=datetime.now(UTC) - timedelta(seconds=1))

    with pytest.raises(DeadKeyError, match=r"'old' \(.*\) has expired"):
        await gate.admit(connection(expired))
    with pytest.raises(DeadKeyError, match=r"'lost' \(.*\) has been revoked"):
        await gate.admit(connection(revoked))


async def test_a_key_in_the_log_is_its_name_and_id(
    gate: TokenGate, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = add_key(path, "old", expires_at=datetime.now(UTC) - timedelta(seconds=1))

    with pytest.raises(UnauthenticatedError):
        await gate.admit(connection(token))

    assert token.rpartition("_")[2] not in caplog.text
    assert "'old'" in caplog.text


async def test_who_holds_a_key_is_let_go_when_it_is_revoked(gate: TokenGate, path: Path) -> None:
    token = add_key(path)
    identity = await gate.admit(connection(token))
    waiting = asyncio.create_task(gate.until_invalid(identity))

    revoke_all(path)

    assert await waiting == "The API key has been revoked."


async def test_who_holds_a_key_is_let_go_when_it_is_removed_or_changed(gate: TokenGate, path: Path) -> None:
    token = add_key(path, "ci", "team-a")
    identity = await gate.admit(connection(token))
    waiting = asyncio.create_task(gate.until_invalid(identity))

    replace(path, "team-a", "team-b")
    assert await waiting == "The API key has been changed."
    remove(path)
    assert await gate.until_invalid(identity) == "The API key has been revoked."


async def test_who_holds_a_key_is_let_go_when_it_expires(path: Path) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    now = end - timedelta(seconds=1)
    token = add_key(path, expires_at=end)
    gate = TokenGate(keys=[FileKeys(path)], tokens=None, now=lambda: now)
    async with gate.opened():
        waiting = asyncio.create_task(gate.until_invalid(await gate.admit(connection(token))))

        now = end

        assert await waiting == "The token has expired."


async def test_a_thousand_connections_of_one_key_are_looked_at_as_one(gate: TokenGate, path: Path) -> None:
    token = add_key(path)
    identity = await gate.admit(connection(token))
    waiting = [asyncio.create_task(gate.until_invalid(identity)) for _ in range(1_000)]
    await asyncio.sleep(0)

    assert gate.endings.identities == 1
    for task in waiting[:999]:
        task.cancel()
    await asyncio.wait(waiting[:999])
    assert gate.endings.identities == 1
    remove(path)

    assert await waiting[999] == "The API key has been revoked."
    assert gate.endings.identities == 0


async def test_nobody_is_looked_at_once_all_have_gone() -> None:
    endings = Endings(lambda identity: None)
    waiting = asyncio.create_task(endings.wait(Identity(name="a")))
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert endings.identities == 0


async def test_keys_and_tokens_are_let_in_side_by_side(path: Path, tmp_path: Path) -> None:
    public = tmp_path / "jwks.json"
    public.write_text(f'{{"keys": [{json.dumps(issuer().published)}]}}', encoding="utf-8")
    gate = make_gate(Settings(keys_file=str(path), jwt_key_file=str(public), jwt_issuer=ISSUER, jwt_audience=AUDIENCE))

    by_key, by_token = await gate.admit(connection(add_key(path))), await gate.admit(connection(issuer().sign()))

    assert (by_key.name, by_token.name) == ("tester", "alice")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jwt_key_file": "a", "jwt_jwks_url": "https://b"}, "GQL_APP_JWT_JWKS_URL and GQL_APP_JWT_KEY_FILE are set"),
        ({"jwt_key_file": "a"}, "not GQL_APP_JWT_ISSUER and GQL_APP_JWT_AUDIENCE"),
        ({"jwt_key_file": "a", "jwt_issuer": "b"}, "not GQL_APP_JWT_AUDIENCE"),
        ({"jwt_key_file": "nowhere", "jwt_issuer": "b", "jwt_audience": "c"}, "nowhere cannot be read"),
        ({"jwt_secret_file": "nowhere", "jwt_issuer": "b", "jwt_audience": "c"}, "nowhere is not there"),
        ({"jwt_jwks_url": "http://issuer.example", "jwt_issuer": "b", "jwt_audience": "c"}, "https://"),
        ({"jwt_jwks_url": "ftp://localhost", "jwt_issuer": "b", "jwt_audience": "c"}, "https://"),
        ({"jwt_jwks_url": "https://", "jwt_issuer": "b", "jwt_audience": "c"}, "https://"),
        ({"jwt_jwks_url": "https://[", "jwt_issuer": "b", "jwt_audience": "c"}, "https://"),
        (
            {"jwt_jwks_url": "https://b", "jwt_issuer": "b", "jwt_audience": "c", "jwt_algorithms": ("HS256", "ES256")},
            "holds HS256",
        ),
        (
            {"jwt_jwks_url": "https://b", "jwt_issuer": "b", "jwt_audience": "c", "jwt_algorithms": ("none",)},
            "holds none",
        ),
        (
            {"jwt_jwks_url": "https://b", "jwt_issuer": "b", "jwt_audience": "c", "jwt_default_namespace": "A B"},
            "GQL_APP_JWT_DEFAULT_NAMESPACE",
        ),
    ],
)
async def test_settings_that_let_in_the_wrong_ones_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(AuthenticationSettingsError, match=message):
        make_gate(Settings.model_validate(settings))


def test_a_file_of_keys_that_is_broken_from_the_beginning_is_refused(path: Path) -> None:
    path.write_text("[]", encoding="utf-8")
    path.chmod(0o600)

    with pytest.raises(AuthenticationSettingsError, match="is not a file of keys"):
        make_gate(Settings(keys_file=str(path)))


async def test_the_open_gate_lets_nobody_go() -> None:
    waiting = asyncio.create_task(Gate().until_invalid(ANYBODY))
    await asyncio.sleep(0)

    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
