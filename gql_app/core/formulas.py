"""What an evaluation may cost, and what of it has to be sent to have it done elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, assert_never

import msgspec
import orjson

from gql_app.core.cel import EvaluationFailed, Program
from gql_app.core.expressions import Expression, Template, compile_expression
from gql_app.core.paths import follow
from gql_app.core.values import Json

Formula: TypeAlias = Expression | Template | Program
"""Whatever can be evaluated; of a template the expressions, not the secrets."""

LIGHT_WORK: Final = 512 << 10
"""Bytes of the expressions times bytes of their data that are evaluated on the spot: 15 ms at the very most.

`input.a + input.a + …` reads its data as often as there is room to write it.
"""
LIGHT_COPIES: Final = 4 << 20
"""Bytes by which the plain references of a template may repeat what they refer to on the spot."""


class Errand(msgspec.Struct, frozen=True):
    """Expressions to evaluate elsewhere, with their data as JSON."""

    texts: tuple[str, ...]
    data: msgspec.Raw
    variables: tuple[str, ...] | None = None
    """What may be mentioned; null for what expressions in documents may."""


def evaluate_here(formula: Formula, scope: Mapping[str, Json]) -> Json:
    """Evaluate on the spot; a template is prepared."""
    return formula.prepare(scope) if isinstance(formula, Template) else formula.evaluate(scope)


def heavy_data(formula: Formula, scope: Mapping[str, Json]) -> bytes | None:
    """Tell what has to be sent, as JSON, to evaluate this elsewhere; None if it may be done where others wait."""
    try:
        match formula:
            case Program():
                data = orjson.dumps(scope)
                light = formula.syntax.calm and len(formula.text) * len(data) <= LIGHT_WORK
            case Expression():
                if formula.reference is not None:
                    return None
                data = orjson.dumps(formula.prune(scope))
                light = formula.calm and len(formula.text) * len(data) <= LIGHT_WORK
            case Template():
                if not formula.expressions:
                    return None
                data = orjson.dumps(formula.prune(scope))
                light = _is_light(formula, scope, len(data))
            case _:
                assert_never(formula)
    except TypeError as error:
        raise EvaluationFailed(title_of(formula), f"its data is not JSON: {error}.") from None
    return None if light else data


def _is_light(template: Template, scope: Mapping[str, Json], size: int) -> bool:
    work = copies = 0
    for _, expression in template.expressions:
        if not expression.calm:
            return False
        if expression.reference is None:
            work += len(expression.text) * size
        else:
            copies += 1
    if work > LIGHT_WORK:
        return False
    return copies * size <= LIGHT_COPIES or _copied(template, scope) - size <= LIGHT_COPIES


def _copied(template: Template, scope: Mapping[str, Json]) -> int:
    """Measure what the plain references of a template stand for; encoded one by one, so that it takes no room."""
    return sum(
        len(orjson.dumps(follow(scope, expression.reference)))
        for _, expression in template.expressions
        if expression.reference is not None and expression.prune(scope)
    )


def pack(formula: Formula, data: bytes) -> bytes:
    """Write down the expressions of a formula and their data for `perform`."""
    match formula:
        case Program():
            errand = Errand((formula.text,), msgspec.Raw(data), tuple(sorted(formula.variables)))
        case Expression():
            errand = Errand((formula.text,), msgspec.Raw(data))
        case Template():
            errand = Errand(tuple(expression.text for _, expression in formula.expressions), msgspec.Raw(data))
        case _:
            assert_never(formula)
    return msgspec.json.encode(errand)


def perform(packed: bytes) -> list[Json]:
    """Evaluate what was packed, and give the results in order."""
    errand = msgspec.json.decode(packed, type=Errand)
    data = msgspec.json.decode(errand.data)
    if errand.variables is not None:
        variables = frozenset(errand.variables)
        return [Program(text, variables).evaluate(data) for text in errand.texts]
    return [compile_expression(text).evaluate(data) for text in errand.texts]


def finish(formula: Formula, results: Sequence[Json]) -> Json:
    """Make of the results what `evaluate_here` would have given."""
    return formula.fill(results) if isinstance(formula, Template) else results[0]


def title_of(formula: Formula) -> str:
    """Name a formula in a message: its text; of a template, the expression that is most likely the matter."""
    if not isinstance(formula, Template):
        return formula.text
    texts = [expression.text for _, expression in formula.expressions]
    return next((expression.text for _, expression in formula.expressions if not expression.calm), texts[0])
