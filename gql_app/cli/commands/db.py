"""`gql-app db`: looks after a store."""

import argparse
from datetime import UTC

import msgspec

from gql_app.cli.failures import ExitCode
from gql_app.cli.output import clean, say, to_json
from gql_app.cli.stores import store_settings, with_store
from gql_app.cli.table import align
from gql_app.engine.clock import SystemClock
from gql_app.settings import Settings
from gql_app.storage.sql.upkeep import StoreStatus, look, upgrade, vacuum


def main(options: argparse.Namespace) -> int:
    """Do what is asked with a store."""
    settings = store_settings(options.store)
    match options.action:
        case "upgrade":
            _upgrade(settings)
        case "status":
            _tell(with_store(look(settings)), as_json=options.json)
        case _:
            _vacuum(settings)
    return ExitCode.OK


def _upgrade(settings: Settings) -> None:
    done = with_store(upgrade(settings))
    if done.before is None:
        say(f"The tables are made: version {done.after}.")
    elif done.before == done.after:
        say(f"The tables are up to date: version {done.after}.")
    else:
        say(f"The tables are brought from version {done.before} to {done.after}.")


def _vacuum(settings: Settings) -> None:
    done = with_store(vacuum(settings, SystemClock()))
    runs = "1 run" if done.runs == 1 else f"{done.runs} runs"
    say(f"{runs} removed; the store takes {_size(done.after)} (before: {_size(done.before)}).")


def _tell(status: StoreStatus, *, as_json: bool) -> None:
    if as_json:
        say(to_json(msgspec.to_builtins(status)))
        return
    total = sum(status.runs.values())
    runs = f"{total}: {', '.join(f'{count} {name}' for name, count in status.runs.items())}" if total else "none"
    rows = [
        ("Store", status.store),
        ("Kind", status.kind),
        ("Tables", f"version {status.version}"),
        ("Executor", _executor(status)),
        ("Runs", runs),
        ("API keys", str(status.keys)),
        ("Size", _size(status.bytes)),
    ]
    say(align(rows))


def _executor(status: StoreStatus) -> str:
    if not status.epoch:
        return "none so far"
    since = status.taken_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    who = clean(status.holder)
    if status.executing:
        return f"{who} since {since} (epoch {status.epoch})"
    return f"none now; last {who} at {since} (epoch {status.epoch})"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
