"""`gql-app keys`: makes, lists and revokes API keys."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gql_app.cli.expiry import parse_expiry
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import say, tell, to_json
from gql_app.cli.settings import load_settings
from gql_app.cli.table import align
from gql_app.core.access import Scope, parse_namespace
from gql_app.core.values import Json
from gql_app.files.private import PrivateFileError
from gql_app.web.auth.key_file import read_keys
from gql_app.web.auth.key_writer import change_keys
from gql_app.web.auth.keys import MAXIMUM_NAME, ApiKey, make_key

_USUAL = (Scope.READ, Scope.WRITE)


def main(options: argparse.Namespace) -> int:
    """Do what is asked with the file of keys."""
    path = _path(options)
    try:
        match options.action:
            case "create":
                return _create(path, options)
            case "list":
                return _list(path, as_json=options.json)
            case _:
                return _revoke(path, options.id)
    except PrivateFileError as error:
        raise CommandError(str(error)) from None


def _path(options: argparse.Namespace) -> Path:
    name = load_settings(keys_file=options.keys_file).keys_file
    if not name:
        raise CommandError("Say where the keys stand: --keys-file FILE, or GQL_APP_KEYS_FILE.", ExitCode.INVALID)
    return Path(name)


def _create(path: Path, options: argparse.Namespace) -> int:
    now = datetime.now(UTC).replace(microsecond=0)
    name: str = options.name
    if not (name.isprintable() and 1 <= len(name) <= MAXIMUM_NAME):
        message = f"--name {name[:80]!r} is not a name: use 1 to {MAXIMUM_NAME} characters that can be printed."
        raise CommandError(message, ExitCode.INVALID)
    try:
        namespace = parse_namespace(options.namespace)
        expires_at = parse_expiry(options.expires, now) if options.expires else None
    except ValueError as error:
        raise CommandError(str(error), ExitCode.INVALID) from None
    scopes = tuple(dict.fromkeys(map(Scope, options.scope))) or _USUAL
    made = make_key(name=name, namespace=namespace, scopes=scopes, created_at=now, expires_at=expires_at)
    change_keys(path, lambda keys: [*keys, made.kept])
    say(made.text)
    tell(f"Key {made.kept.id} for namespace {namespace!r}, {_end(made.kept)}. It is not shown again.")
    return ExitCode.OK


def _list(path: Path, *, as_json: bool) -> int:
    keys = read_keys(path)
    if as_json:
        say(to_json([_plain(key) for key in keys]))
    elif not keys:
        tell(f"There are no keys in {path}.")
    else:
        rows = [("ID", "NAME", "NAMESPACE", "SCOPES", "CREATED", "STATE")]
        now = datetime.now(UTC)
        rows += [
            (key.id, key.name, key.namespace, " ".join(key.scopes), _instant(key.created_at), _state(key, now))
            for key in keys
        ]
        say(align(rows))
    return ExitCode.OK


def _revoke(path: Path, key_id: str) -> int:
    now = datetime.now(UTC).replace(microsecond=0)

    def revoke(keys: Sequence[ApiKey]) -> list[ApiKey]:
        if all(key.id != key_id for key in keys):
            raise CommandError(f"There is no key {key_id!r} in {path}; see `gql-app keys list`.")
        return [
            msgspec.structs.replace(key, revoked_at=key.revoked_at or now) if key.id == key_id else key for key in keys
        ]

    change_keys(path, revoke)
    say(f"{key_id} revoked")
    return ExitCode.OK


def _plain(key: ApiKey) -> Json:
    """Tell everything about a key but its digest, which nobody needs."""
    told = msgspec.to_builtins(key)
    del told["sha256"]
    return told


def _end(key: ApiKey) -> str:
    return "without end" if key.expires_at is None else f"until {_instant(key.expires_at)}"


def _state(key: ApiKey, now: datetime) -> str:
    return key.fault(now) or _end(key)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
