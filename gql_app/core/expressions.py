"""Expressions in a document: what `${ … }` mentions and what it gives."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

from gql_app.core.cel import EvaluationFailed, InvalidExpression, Program
from gql_app.core.cel_syntax import Path
from gql_app.core.cel_values import MAXIMUM_DEPTH
from gql_app.core.templates import OPENING, Hole, Piece, escape_template, split_template
from gql_app.core.values import Json

__all__ = [
    "EvaluationFailed",
    "Expression",
    "InvalidExpression",
    "Path",
    "Template",
    "TemplateErrors",
    "compile_expression",
    "compile_template",
    "escape_template",
    "node_references",
    "whole_reference",
]

CACHED_EXPRESSIONS: Final = 512
"""A compiled expression takes 5 KiB as a rule and 350 KiB at most."""

MAXIMUM_EXPRESSIONS: Final = 1_000
"""In one value, such as the input of a node: all of them are evaluated in one go."""

Scope: TypeAlias = Mapping[str, Json]
_Tree: TypeAlias = dict[str, "_Tree | None"]
_Build: TypeAlias = Callable[[Scope], Json]

_MISSING: Final = object()
_compact_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class TemplateErrors(ValueError):
    """A template cannot work; `problems` holds everything found, each with its JSON Pointer inside the value."""

    def __init__(self, problems: Sequence[tuple[str, InvalidExpression]]) -> None:
        super().__init__("\n".join(f"{pointer or '/'}: {error.message}" for pointer, error in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. `paths` is all it mentions; `reference` is its path if it is nothing but one."""

    text: str
    paths: tuple[Path, ...]
    reference: Path | None
    _program: Program = field(repr=False, compare=False)
    _tree: _Tree = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Json:
        """Evaluate in this scope: only what is mentioned is looked at, and the result shares nothing with it."""
        if self.reference is not None:
            value = _follow(scope, self.reference)
            if value is not _MISSING:
                return self._program.to_json(value)
        return self._program.evaluate(_prune(scope, self._tree))


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON value whose strings may hold expressions, each named by its JSON Pointer inside the value."""

    value: Json
    expressions: tuple[tuple[str, Expression], ...]
    paths: tuple[Path, ...]
    _build: _Build = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Json:
        """Give the value with every expression replaced by its result; constant parts are shared with the template."""
        return self._build(scope)


@lru_cache(maxsize=CACHED_EXPRESSIONS)
def compile_expression(text: str) -> Expression:
    """Compile one expression, written without `${ }`."""
    program = Program(text)
    paths = _minimal(mention.path for mention in program.syntax.mentions)
    return Expression(text, paths, program.syntax.reference, program, _grow(paths))


def compile_template(value: Json) -> Template:
    """Compile every expression in a JSON value, or raise `TemplateErrors` with all that is wrong."""
    compiler = _Compiler()
    part = compiler.compile(value, "", MAXIMUM_DEPTH)
    if compiler.too_many:
        message = f"The value holds more than {MAXIMUM_EXPRESSIONS} expressions."
        raise TemplateErrors([("", InvalidExpression(message, "", hint="Split it over several nodes."))])
    if compiler.problems:
        raise TemplateErrors(compiler.problems)
    build = part.build or _constantly(part.value)
    paths = _minimal(path for _, expression in compiler.expressions for path in expression.paths)
    return Template(value, tuple(compiler.expressions), paths, build)


def node_references(paths: Iterable[Path]) -> dict[str, frozenset[str]]:
    """Say of each node mentioned which of `output`, `status` and `error` are."""
    references: dict[str, frozenset[str]] = {}
    for path in paths:
        if path[0] == "nodes":
            references[path[1]] = references.get(path[1], frozenset()) | {path[2]}
    return references


def whole_reference(value: str) -> Path | None:
    """Give the path of a string that is exactly `${ nodes.x.output.field }` or the like; else None."""
    if OPENING not in value:
        return None
    pieces, error = split_template(value)
    if error is not None or len(pieces) != 1 or not isinstance(pieces[0], Hole):
        return None
    try:
        reference = compile_expression(pieces[0].text.strip()).reference
    except InvalidExpression:
        return None
    return reference if reference is not None and reference[0] == "nodes" and reference[2] == "output" else None


@dataclass(frozen=True, slots=True)
class _Part:
    """A compiled piece of a template: constant unless it has `build`."""

    value: Json
    build: _Build | None = None


class _Compiler:
    """Compiles a value part by part and collects what it finds."""

    def __init__(self) -> None:
        self.too_many = False
        self.expressions: list[tuple[str, Expression]] = []
        self.problems: list[tuple[str, InvalidExpression]] = []

    def compile(self, value: Json, pointer: str, depth: int) -> _Part:
        if isinstance(value, str):
            return self._compile_text(value, pointer) if OPENING in value else _Part(value)
        if not isinstance(value, dict | list):
            return _Part(value)
        if depth == 0:
            message = f"The value is nested deeper than {MAXIMUM_DEPTH} levels."
            self.problems.append(
                (pointer, InvalidExpression(message, "", hint="Make it flatter, or pass it as the run's input."))
            )
            return _Part(value)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = {key: self._compile_item(item, pointer, key, depth - 1) for key, item in items if _may_change(item)}
        return _join(value, parts)

    def _compile_item(self, item: Json, pointer: str, key: str | int, depth: int) -> _Part:
        token = str(key).replace("~", "~0").replace("/", "~1")
        return self.compile(item, f"{pointer}/{token}", depth)

    def _compile_text(self, text: str, pointer: str) -> _Part:
        pieces, error = split_template(text)
        builds = [self._compile_piece(piece, pointer) for piece in pieces]
        if error is not None:
            self.problems.append((pointer, error))
        if not any(isinstance(piece, Hole) for piece in pieces):
            return _Part("".join(piece for piece in pieces if isinstance(piece, str)))
        return _Part(text, builds[0] if len(builds) == 1 else _interpolate(builds))

    def _compile_piece(self, piece: Piece, pointer: str) -> _Build:
        if isinstance(piece, str):
            return _constantly(piece)
        if len(self.expressions) + len(self.problems) >= MAXIMUM_EXPRESSIONS:
            self.too_many = True
            return _constantly(None)
        try:
            expression = compile_expression(piece.text.strip())
        except InvalidExpression as error:
            located = InvalidExpression(error.message, error.text, piece.offset, error.hint)
            self.problems.append((pointer, located))
            return _constantly(None)
        self.expressions.append((pointer, expression))
        return expression.evaluate


def _may_change(item: Json) -> bool:
    return OPENING in item if isinstance(item, str) else isinstance(item, dict | list)


def _join(value: Json, parts: Mapping[str | int, _Part]) -> _Part:
    """Make one part of a list or map and those of its items that may change."""
    builds = [(key, part.build) for key, part in parts.items() if part.build is not None]
    unescaped = {key: part.value for key, part in parts.items() if part.build is None and part.value is not value[key]}
    if unescaped:
        value = value.copy()
        for key, item in unescaped.items():
            value[key] = item
    if not builds:
        return _Part(value)

    def build(scope: Scope) -> Json:
        result = value.copy()
        for key, build_item in builds:
            result[key] = build_item(scope)
        return result

    return _Part(value, build)


def _interpolate(builds: Sequence[_Build]) -> _Build:
    """Make a text of the pieces: strings as they are, everything else as compact JSON."""

    def build(scope: Scope) -> str:
        values = [build_piece(scope) for build_piece in builds]
        return "".join([value if isinstance(value, str) else _compact_json(value) for value in values])

    return build


def _constantly(value: Json) -> _Build:
    return lambda _: value


def _minimal(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Sort the paths and leave out those that another one covers."""
    minimal: list[Path] = []
    for path in sorted(set(paths)):
        if not minimal or path[: len(minimal[-1])] != minimal[-1]:
            minimal.append(path)
    return tuple(minimal)


def _grow(paths: Iterable[Path]) -> _Tree:
    """Arrange minimal paths as a tree; None is where one ends."""
    root: _Tree = {}
    for path in paths:
        tree = root
        for name in path[:-1]:
            branch = tree.setdefault(name, {})
            tree = branch if branch is not None else {}
        tree[path[-1]] = None
    return root


def _prune(value: Json, tree: _Tree | None) -> Json:
    """Keep what the tree mentions; what does not exist is left out, what is not a map is CEL's to complain about."""
    if tree is None or not isinstance(value, Mapping):
        # CEL knows `str` alone, and a status is an enum.
        return str(value) if isinstance(value, str) else value
    return {name: _prune(value[name], branch) for name, branch in tree.items() if name in value}


def _follow(value: Json, path: Path) -> Json:
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return _MISSING
        value = value[name]
    return value
