"""Runs the benchmarks that are named, or all, and lays out what they found."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from benchmarks.figure import CannotMeasureError, Figure, table

NAMES: Final = (
    "dbos",
    "durable",
    "engine",
    "graphql",
    "langgraph",
    "memory",
    "scale",
    "service",
    "streams",
    "subscribers",
)


def main(names: Sequence[str]) -> int:
    """Measure and print; tells 1 if a target was missed or something could not be measured, 2 for an unknown name."""
    if unknown := [name for name in names if name not in NAMES]:
        print(f"No benchmark {unknown[0]!r}; there are {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    found: list[Figure] = []
    failed = False
    for name in names or NAMES:
        print(f"Measuring: {name} …", file=sys.stderr, flush=True)
        try:
            found += import_module(f"benchmarks.{name}").figures()
        except CannotMeasureError as error:
            failed = True
            print(f"Not measured: {name}: {error}", file=sys.stderr, flush=True)
    print(table(found))
    return 1 if failed or not all(figure.met for figure in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
