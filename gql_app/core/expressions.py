"""Expressions in a document: what `${ … }` mentions and what it gives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

from gql_app.core.building import Build, Part, Results, Scope, constantly, hole, interpolate, join, seal
from gql_app.core.cel import EvaluationFailed, InvalidExpression, Program
from gql_app.core.cel_syntax import Path
from gql_app.core.cel_values import MAXIMUM_DEPTH
from gql_app.core.paths import MISSING, Tree, follow, grow, minimal, prune
from gql_app.core.placeholders import SECRETS_HINT, Secret, holds_placeholder, open_sealed, secret_name
from gql_app.core.pointers import make_pointer
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

MAXIMUM_EXPRESSION_CHARACTERS: Final = 32 << 10
"""In one value: they are compiled in one go, too."""

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands in a value: the way there."""


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
    _tree: Tree = field(repr=False, compare=False)

    @property
    def calm(self) -> bool:
        """Whether an evaluation takes time and memory in proportion to text and data."""
        return self._program.syntax.calm

    def evaluate(self, scope: Scope) -> Json:
        """Evaluate in this scope: only what is mentioned is looked at, and the result shares nothing with it."""
        if self.reference is not None:
            value = follow(scope, self.reference)
            if value is not MISSING:
                return self._program.to_json(value)
        return self._program.evaluate(self.prune(scope))

    def prune(self, scope: Scope) -> Scope:
        """Keep of a scope what is mentioned."""
        pruned: Scope = prune(scope, self._tree)
        return pruned


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON value whose strings may hold expressions, each named by its JSON Pointer inside the value.

    `secrets` are its placeholders: where each stands, and which secret it is for.
    """

    value: Json
    expressions: tuple[tuple[str, Expression], ...]
    paths: tuple[Path, ...]
    secrets: tuple[tuple[Place, str], ...]
    _build: Build = field(repr=False, compare=False)
    _tree: Tree = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> Json:
        """Give the value with every expression replaced by its result; placeholders of secrets stand as they are.

        Constant parts are shared with the template.
        """
        return self.show(self.prepare(scope))

    def prepare(self, scope: Scope) -> Json:
        """Evaluate everything but the secrets: no expression can see one, nor give what is taken for a placeholder."""
        return self._build(scope)

    def prune(self, scope: Scope) -> Scope:
        """Keep of a scope what is mentioned."""
        pruned: Scope = prune(scope, self._tree)
        return pruned

    def fill(self, results: Sequence[Json]) -> Json:
        """Prepare with the results of all expressions, in their order, which were evaluated elsewhere."""
        return self._build(Results(results))

    def show(self, prepared: Json) -> Json:
        """Let placeholders stand as they are in what was prepared."""
        return open_sealed(prepared, self.sealed(), _as_written) if self.secrets else prepared

    def reveal(self, prepared: Json, values: Mapping[str, str]) -> Json:
        """Put the values of the secrets, by name, in their places in what was prepared. Do this last, and once."""
        return open_sealed(prepared, self.sealed(), lambda secret: values[secret.name])

    def sealed(self) -> Iterable[Place]:
        return dict.fromkeys(place for place, _ in self.secrets)


@lru_cache(maxsize=CACHED_EXPRESSIONS)
def compile_expression(text: str) -> Expression:
    """Compile one expression, written without `${ }`."""
    program = Program(text)
    paths = minimal(mention.path for mention in program.syntax.mentions)
    return Expression(text, paths, program.syntax.reference, program, grow(paths))


def compile_template(value: Json, *, secrets: bool = False) -> Template:
    """Compile every expression in a JSON value, or raise `TemplateErrors` with all that is wrong.

    Placeholders of secrets are known only with `secrets`; they are errors else.
    """
    compiler = _Compiler(secrets)
    part = compiler.compile(value, (), MAXIMUM_DEPTH)
    if compiler.too_many or compiler.room < 0:
        message = (
            f"The value holds more than {MAXIMUM_EXPRESSIONS} expressions."
            if compiler.too_many
            else f"The value's expressions have more than {MAXIMUM_EXPRESSION_CHARACTERS} characters."
        )
        raise TemplateErrors([("", InvalidExpression(message, "", hint="Split it over several nodes."))])
    if compiler.problems:
        raise TemplateErrors(compiler.problems)
    build = part.build or constantly(part.value)
    paths = minimal(path for _, expression in compiler.expressions for path in expression.paths)
    return Template(value, tuple(compiler.expressions), paths, tuple(compiler.secrets), build, grow(paths))


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


class _Compiler:
    """Compiles a value part by part and collects what it finds."""

    def __init__(self, allows_secrets: bool) -> None:
        self.too_many = False
        self.room = MAXIMUM_EXPRESSION_CHARACTERS
        self.expressions: list[tuple[str, Expression]] = []
        self.secrets: list[tuple[Place, str]] = []
        self.problems: list[tuple[str, InvalidExpression]] = []
        self._allows_secrets = allows_secrets

    def compile(self, value: Json, place: Place, depth: int) -> Part:
        if isinstance(value, str):
            return self._compile_text(value, place) if OPENING in value else Part(value)
        if not isinstance(value, dict | list):
            return Part(value)
        if depth == 0:
            message = f"The value is nested deeper than {MAXIMUM_DEPTH} levels."
            hint = "Make it flatter, or pass it as the run's input."
            self._refuse(place, InvalidExpression(message, "", hint=hint))
            return Part(value)
        if isinstance(value, dict):
            self._check_keys(value, place)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = {key: self.compile(item, (*place, key), depth - 1) for key, item in items if _may_change(item)}
        return join(value, parts)

    def _check_keys(self, value: Mapping[str, Json], place: Place) -> None:
        for key in value:
            if OPENING in key and holds_placeholder(key):
                message = "A name of a field cannot hold a secret."
                self._refuse((*place, key), InvalidExpression(message, key, hint=SECRETS_HINT))

    def _compile_text(self, text: str, place: Place) -> Part:
        pieces, error = split_template(text)
        builds = [self._compile_piece(piece, place) for piece in pieces]
        if error is not None:
            self._refuse(place, error)
        if not any(isinstance(piece, Hole) for piece in pieces):
            return Part("".join(piece for piece in pieces if isinstance(piece, str)))
        if self.secrets and self.secrets[-1][0] == place:
            return Part(text, seal(builds))
        return Part(text, builds[0] if len(builds) == 1 else interpolate(builds))

    def _compile_piece(self, piece: Piece, place: Place) -> Build:
        if isinstance(piece, str):
            return constantly(piece)
        if len(self.expressions) + len(self.secrets) + len(self.problems) >= MAXIMUM_EXPRESSIONS:
            self.too_many = True
            return constantly(None)
        if self._allows_secrets and (name := secret_name(piece.text)):
            self.secrets.append((place, name))
            return constantly(Secret(name, f"{OPENING}{piece.text}}}"))
        self.room -= len(piece.text)
        if self.room < 0:
            return constantly(None)
        try:
            expression = compile_expression(piece.text.strip())
        except InvalidExpression as error:
            self._refuse(place, InvalidExpression(error.message, error.text, piece.offset, error.hint))
            return constantly(None)
        self.expressions.append((make_pointer(place), expression))
        return hole(expression.evaluate, len(self.expressions) - 1)

    def _refuse(self, place: Place, error: InvalidExpression) -> None:
        self.problems.append((make_pointer(place), error))


def _may_change(item: Json) -> bool:
    return OPENING in item if isinstance(item, str) else isinstance(item, dict | list)


def _as_written(secret: Secret) -> str:
    return secret.text
