"""`gql-app keys`: makes, lists and revokes API keys."""

import argparse
from datetime import UTC, datetime

import msgspec

from gql_app.cli.expiry import parse_expiry
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.key_places import KeyPlace, find_place
from gql_app.cli.output import say, tell, to_json
from gql_app.cli.table import align
from gql_app.core.access import Scope, parse_namespace
from gql_app.core.values import Json
from gql_app.web.auth.keys import MAXIMUM_NAME, ApiKey, make_key

_USUAL = (Scope.READ, Scope.WRITE)


def main(options: argparse.Namespace) -> int:
    """Do what is asked with the keys of a file or a store."""
    place = find_place(options)
    match options.action:
        case "create":
            return _create(place, options)
        case "list":
            return _list(place, as_json=options.json)
        case _:
            return _revoke(place, options.id)


def _create(place: KeyPlace, options: argparse.Namespace) -> int:
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
    more = place.add(made.kept)
    say(made.text)
    tell(f"Key {made.kept.id} for namespace {namespace!r}, {_end(made.kept)}. It is not shown again.")
    if more is not None:
        tell(more)
    return ExitCode.OK


def _list(place: KeyPlace, *, as_json: bool) -> int:
    keys = place.read()
    if as_json:
        say(to_json([_plain(key) for key in keys]))
    elif not keys:
        tell(f"There are no keys in {place.name}.")
    else:
        rows = [("ID", "NAME", "NAMESPACE", "SCOPES", "CREATED", "STATE")]
        now = datetime.now(UTC)
        rows += [
            (key.id, key.name, key.namespace, " ".join(key.scopes), _instant(key.created_at), _state(key, now))
            for key in keys
        ]
        say(align(rows))
    return ExitCode.OK


def _revoke(place: KeyPlace, key_id: str) -> int:
    if not place.revoke(key_id, datetime.now(UTC).replace(microsecond=0)):
        raise CommandError(f"There is no key {key_id!r} in {place.name}; see `gql-app keys list`.")
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
