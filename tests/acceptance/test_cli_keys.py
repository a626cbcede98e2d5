"""`gql-app keys`, and what `serve` says of settings that are not safe."""

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gql_app.cli.main import main
from tests.support.cli import Finished
from tests.support.cli import gql_app as run_process
from tests.support.server import server_process
from tests.support.tokens import bearer

Keys = Callable[..., Finished]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Keys:
    monkeypatch.setenv("GQL_APP_KEYS_FILE", str(tmp_path / "keys.json"))

    def carry_out(*arguments: str) -> Finished:
        code = main(["keys", *arguments])
        return Finished(code, *capsys.readouterr())

    return carry_out


def test_a_key_is_shown_once_and_alone(keys: Keys, tmp_path: Path) -> None:
    created = keys("create", "--name", "ci", "--namespace", "team-a", "--scope", "admin")

    key = created.out.removesuffix("\n")
    file = tmp_path / "keys.json"
    assert created.code == 0
    assert key.startswith("gqlapp_")
    assert key not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [told] = keys("list", "--json").output
    assert (told["name"], told["namespace"], told["scopes"]) == ("ci", "team-a", ["admin"])
    assert "sha256" not in told


def test_a_key_may_read_and_write_unless_more_is_said(keys: Keys) -> None:
    keys("create", "--name", "ci")

    [told] = keys("list", "--json").output

    assert told["scopes"] == ["workflows:read", "workflows:write"]
    assert (told["namespace"], told["expiresAt"]) == ("default", None)


def test_a_revoked_key_stays_in_the_list(keys: Keys) -> None:
    keys("create", "--name", "ci", "--expires", "30d")
    [told] = keys("list", "--json").output

    revoked = keys("revoke", told["id"])

    assert (revoked.code, revoked.out) == (0, f"{told['id']} revoked\n")
    assert "has been revoked" in keys("list").out


def test_a_key_that_is_not_there_cannot_be_revoked(keys: Keys) -> None:
    refused = keys("revoke", "0123456789ab")

    assert refused.code == 1
    assert "There is no key '0123456789ab'" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", ""], "--name '' is not a name"),
        (["--name", "a\nb"], "is not a name"),
        (["--name", "a" * 65], "is not a name"),
        (["--name", "a", "--namespace", "Team A"], "'Team A' is not the name of a namespace"),
        (["--name", "a", "--expires", "soon"], "'soon' is no time"),
    ],
)
def test_what_cannot_be_a_key_is_refused(keys: Keys, tmp_path: Path, arguments: list[str], message: str) -> None:
    refused = keys("create", *arguments)

    assert (refused.code, refused.out) == (2, "")
    assert message in refused.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_it_says_how_to_name_one(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GQL_APP_KEYS_FILE")

    refused = keys("list")

    assert refused.code == 2
    assert "--keys-file" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "--insecure"),
        (["--keys-file", "keys.json"], "chmod 600 keys.json"),
        (["--keys-file", "."], "cannot be read"),
    ],
)
def test_a_server_does_not_start_with_settings_that_are_not_safe(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": []}), encoding="utf-8")
    (tmp_path / "keys.json").chmod(0o644)

    refused = run_process("serve", "--port", "0", *arguments, cwd=tmp_path)

    assert (refused.code, refused.out) == (2, "")
    assert message in refused.err
    assert "Traceback" not in refused.err


def test_keys_stand_in_a_store_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: Keys) -> None:
    monkeypatch.delenv("GQL_APP_KEYS_FILE")
    monkeypatch.setenv("GQL_APP_STORE", f"sqlite:///{tmp_path}/runs.db")

    nothing = keys("list")
    first = keys("create", "--name", "one", "--namespace", "team-a", "--expires", "30d")
    second = keys("create", "--name", "two")
    told = sorted(keys("list", "--json").output, key=lambda key: key["name"])
    revoked = keys("revoke", told[0]["id"])
    unknown = keys("revoke", "0123456789ab")

    assert (nothing.code, "There is no store sqlite:///" in nothing.err) == (1, True)
    assert first.out.startswith("gqlapp_")
    assert "It is the first key of the store" in first.err
    assert "first" not in second.err
    assert [(key["name"], key["namespace"]) for key in told] == [("one", "team-a"), ("two", "default")]
    assert (revoked.code, revoked.out) == (0, f"{told[0]['id']} revoked\n")
    assert (unknown.code, "There is no key '0123456789ab' in the store" in unknown.err) == (1, True)
    assert "has been revoked" in keys("list").out


def test_what_is_written_comes_before_the_environment(tmp_path: Path, keys: Keys) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    keys("create", "--name", "in the file")

    keys("create", "--name", "in the store", "--store", store)

    assert [key["name"] for key in keys("list", "--json").output] == ["in the file"]
    assert [key["name"] for key in keys("list", "--json", "--store", store).output] == ["in the store"]
    assert keys("list", "--store", "postgresql://me:secret@127.0.0.1:1/a").code == 1


def test_a_server_lets_in_keys_of_its_store_and_ends_what_was_begun_with_those_that_are_revoked(
    tmp_path: Path, keys: Keys
) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    token = keys("create", "--name", "ci", "--store", store).out.strip()
    query = {"query": "{ workflows { nodes { id } } }"}

    with server_process("--store", store, "--host", "0.0.0.0") as server, server.client() as client:
        nobody = client.post("/graphql", json=query)
        somebody = client.post("/graphql", json=query, headers=bearer(token))
        [key] = keys("list", "--json", "--store", store).output

        async def watch() -> tuple[int, str]:
            async with server.socket(additional_headers=bearer(token)) as socket:
                await asyncio.to_thread(keys, "revoke", key["id"], "--store", store)
                return await socket.closed()

        closed = asyncio.run(watch())
        refused = client.post("/graphql", json=query, headers=bearer(token))

    assert "API keys in the store" in server.greeting
    assert "UNAUTHENTICATED" in nobody.text
    assert "errors" not in somebody.json()
    assert closed == (4403, "Forbidden: The API key has been revoked.")
    assert "has been revoked" in refused.text
