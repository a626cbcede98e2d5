"""API keys, and the file they stand in."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gql_app.core.access import Scope, parse_namespace
from gql_app.core.ids import Namespace
from gql_app.files.private import PrivateFileError
from gql_app.files.watched import WatchedFile
from gql_app.web.auth.key_file import read_keys
from gql_app.web.auth.key_sources import read_key_table
from gql_app.web.auth.key_writer import change_keys
from gql_app.web.auth.keys import NewKey, key_id_of, make_key
from tests.support.tokens import add_key

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def new_key(expires_at: datetime | None = None) -> NewKey:
    return make_key(
        name="ci", namespace=Namespace("team-a"), scopes=(Scope.READ,), created_at=NOON, expires_at=expires_at
    )


def test_a_key_is_found_by_its_id_and_told_from_any_other() -> None:
    key, other = new_key(), new_key()

    assert key_id_of(key.text) == key.kept.id
    assert key.kept.fits(key.text)
    assert not key.kept.fits(other.text)
    assert not key.kept.fits(key.text[:-1])


def test_nothing_of_the_key_is_kept_but_its_id() -> None:
    key = new_key()

    kept = msgspec.json.encode(key.kept).decode()

    assert key.text.rpartition("_")[2] not in kept
    assert key.kept.id in kept


@pytest.mark.parametrize("text", ["", "gqlapp_", "gqlapp_0123456789ab_", "GQLAPP_0123456789ab_" + "a" * 52, "eyJ.e.s"])
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert key_id_of(text) is None


def test_a_key_is_good_until_it_expires_or_is_revoked() -> None:
    key = new_key(NOON + timedelta(days=1)).kept

    assert key.fault(NOON) is None
    assert key.fault(NOON + timedelta(days=1)) == "has expired"
    assert msgspec.structs.replace(key, revoked_at=NOON).fault(NOON) == "has been revoked"


def test_who_comes_with_a_key_is_what_was_written_about_it() -> None:
    identity = new_key().kept.identity

    assert (identity.name, identity.namespace) == ("ci", "team-a")
    assert identity.may(Scope.READ)
    assert not identity.may(Scope.WRITE)


@pytest.mark.parametrize("name", ["a", "0", "team-a", "a" * 63])
def test_names_of_namespaces_are_short_and_plain(name: str) -> None:
    assert parse_namespace(name) == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "ä", "a" * 64, "a\n", "a/b"])
def test_what_is_no_namespace_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a namespace"):
        parse_namespace(name)


def test_keys_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: add_key(path, f"key {number}"), range(32)))

    assert sorted(key.name for key in read_keys(path)) == sorted(f"key {number}" for number in range(32))
    assert path.stat().st_mode & 0o777 == 0o600
    assert {file.name for file in tmp_path.iterdir()} == {"keys.json", "keys.json.lock"}


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path)
    before = path.read_bytes()

    with pytest.raises(ZeroDivisionError):
        change_keys(path, lambda keys: [] if 1 / 0 else keys)

    assert path.read_bytes() == before


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path)
    path.chmod(0o640)

    with pytest.raises(PrivateFileError, match=f"chmod 600 {path}"):
        read_keys(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"version": 2}',
        '{"keys": 1}',
        '{"keys": [{"id": "x"}]}',
        '{"keys": [{"id": "0123456789ab", "name": "a", "sha256": "00", "createdAt": "2026-01-01T00:00:00Z"}]}',
        "\udcff",
    ],
)
def test_a_file_that_is_none_of_keys_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o600)

    with pytest.raises(PrivateFileError, match="is not a file of keys"):
        read_keys(path)


def test_two_keys_of_one_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = new_key().kept
    change_keys(path, lambda _: [key, key])

    with pytest.raises(PrivateFileError, match="the same id"):
        read_keys(path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrivateFileError, match="nowhere"):
        add_key(tmp_path / "nowhere" / "keys.json")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    watched = WatchedFile(path, read_key_table)
    assert watched.content == {}

    first = key_id_of(add_key(path))
    assert set(watched.content) == {first}
    second = key_id_of(add_key(path))
    assert set(watched.content) == {first, second}
    path.unlink()
    assert watched.content == {}


def test_a_file_that_breaks_leaves_what_stood_there_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    key_id = key_id_of(add_key(path))
    watched = WatchedFile(path, read_key_table)

    path.write_text(json.dumps({"keys": [1]}), encoding="utf-8")

    assert set(watched.content) == set(watched.content) == {key_id}
    [record] = caplog.records
    assert "keys.json is not a file of keys" in record.getMessage()
    assert watched.problem is not None
    add_key(tmp_path / "other.json", "another")
    (tmp_path / "other.json").replace(path)
    assert [known.identity.name for known in watched.content.values()] == ["another"]
    assert watched.problem is None


def test_opening_a_file_to_others_keeps_its_keys_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key_id = key_id_of(add_key(path))
    watched = WatchedFile(path, read_key_table)

    path.chmod(0o644)

    assert set(watched.content) == {key_id}
    assert "chmod 600" in str(watched.problem)
