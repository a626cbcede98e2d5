"""Builds values of templates: constant parts, the results of expressions, and places for secrets."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gql_app.core.placeholders import Sealed, Secret
from gql_app.core.values import Json

Scope: TypeAlias = Mapping[str, Json]
Build: TypeAlias = Callable[[Scope], Json]

_compact_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Part:
    """A compiled piece of a template: constant unless it has `build`."""

    value: Json
    build: Build | None = None


class Results(dict[str, Json]):
    """Stands for a scope where everything is evaluated already."""

    def __init__(self, results: Sequence[Json]) -> None:
        super().__init__()
        self.results = results


def hole(evaluate: Build, position: int) -> Build:
    """Evaluate an expression, unless its result is there already."""
    return lambda scope: scope.results[position] if isinstance(scope, Results) else evaluate(scope)


def join(value: Json, parts: Mapping[str | int, Part]) -> Part:
    """Make one part of a list or map and those of its items that may change."""
    builds = [(key, part.build) for key, part in parts.items() if part.build is not None]
    unescaped = {key: part.value for key, part in parts.items() if part.build is None and part.value is not value[key]}
    if unescaped:
        value = value.copy()
        for key, item in unescaped.items():
            value[key] = item
    if not builds:
        return Part(value)

    def build(scope: Scope) -> Json:
        result = value.copy()
        for key, build_item in builds:
            result[key] = build_item(scope)
        return result

    return Part(value, build)


def interpolate(builds: Sequence[Build]) -> Build:
    """Make a text of the pieces: strings as they are, everything else as compact JSON."""

    def build(scope: Scope) -> str:
        values = [build_piece(scope) for build_piece in builds]
        return "".join([value if isinstance(value, str) else _compact_json(value) for value in values])

    return build


def seal(builds: Sequence[Build]) -> Build:
    """Keep the pieces of a text with secrets apart: what an expression gives is never looked at again."""

    def build(scope: Scope) -> Sealed:
        values = [build_piece(scope) for build_piece in builds]
        return Sealed([value if isinstance(value, str | Secret) else _compact_json(value) for value in values])

    return build


def constantly(value: Json) -> Build:
    """Give the same always."""
    return lambda _: value
