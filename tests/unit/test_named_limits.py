"""Limits by name: what the settings may say, and what a document may name."""

import pytest

from gql_app.cli.failures import CommandError
from gql_app.cli.settings import load_settings
from gql_app.core.errors import ProblemCode
from gql_app.core.named_limits import NamedLimit
from gql_app.core.planning import Limits
from gql_app.core.spec import RateLimit
from tests.support.planning import document, node, planned, problems

KNOWN = Limits(names=frozenset({"catalogue", "openai", "mcp.github.*"}))


def test_limits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "GQL_APP_LIMITS", '{"a": {"maximumConcurrency": 2}, "b.*": {"rateLimit": {"count": 3, "burst": 9}}}'
    )

    assert load_settings().limits == {
        "a": NamedLimit(maximum_concurrency=2),
        "b.*": NamedLimit(rate_limit=RateLimit(count=3, per_seconds=1.0, burst=9)),
    }


def test_no_limits_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_APP_LIMITS", " ")

    assert load_settings().limits == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "GQL_APP_LIMITS is 'x': not JSON: Expecting value: line 1 column 1 (char 0)."),
        ("[1]", "GQL_APP_LIMITS is [1]: input should be a valid dictionary."),
        ('{"a": {"maximumConcurrency": 1}, "a": 2}', "not JSON: `a` stands there twice."),
        ('{"a": {}}', "at `a` is {}: no limit: give `maximumConcurrency`, `rateLimit` or both."),
        (
            '{"a": {"maximumConcurrency": 0}}',
            "at `a.maximumConcurrency` is 0: input should be greater than or equal to 1.",
        ),
        ('{"a": {"maximum": 1}}', "at `a.maximum` is 1: extra inputs are not permitted."),
        ('{"a": {"rateLimit": {"count": "3"}}}', "at `a.rateLimit.count` is '3': input should be a valid integer."),
        (
            '{"a": {"rateLimit": {"count": 1, "perSeconds": 0}}}',
            "at `a.rateLimit.perSeconds` is 0: input should be greater",
        ),
        ('{"a": {"rateLimit": {"count": 1, "burst": 0}}}', "at `a.rateLimit.burst` is 0: input should be greater"),
        ('{"a b": {"maximumConcurrency": 1}}', "at `a b` is 'a b': not the name of a limit: write a tool's name, the"),
        ('{"*": {"maximumConcurrency": 1}}', "at `*` is '*': not the name of a limit"),
    ],
)
def test_what_is_no_limit_is_refused_with_its_place_and_what_to_write(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GQL_APP_LIMITS", text)

    with pytest.raises(CommandError) as caught:
        load_settings()

    assert told in str(caught.value)


def test_the_limits_that_a_node_names_stand_in_its_plan() -> None:
    plan = planned(document(node("a", limits=["openai", "catalogue"]), node("b")), limits=KNOWN).plan

    assert [each.limits for each in plan.nodes] == [("openai", "catalogue"), ()]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("catalog", "Did you mean `catalogue`?"),
        ("something else", "The limits here are catalogue, mcp.github.*, openai."),
    ],
)
def test_a_limit_that_the_service_does_not_have_is_a_problem_that_tells_which_it_has(name: str, hint: str) -> None:
    (problem,) = problems(document(node("a"), node("b", limits=["openai", name])), limits=KNOWN)

    assert (problem.code, problem.pointer, problem.node_id) == (ProblemCode.UNKNOWN_LIMIT, "/nodes/1/limits/1", "b")
    assert (problem.message, problem.hint) == (f'There is no limit "{name}".', hint)


def test_a_service_without_limits_says_so() -> None:
    (problem,) = problems(document(node("a", limits=["x"])))

    assert problem.hint == "This service has none; whoever runs it sets limits in GQL_APP_LIMITS."


def test_of_many_limits_some_are_told() -> None:
    (problem,) = problems(
        document(node("a", limits=["?"])), limits=Limits(names=frozenset(f"key{number:02}" for number in range(12)))
    )

    assert problem.hint is not None
    assert problem.hint.endswith("key08, key09 and 2 more.")


def test_a_limit_counts_once_and_there_are_few() -> None:
    twice, many = problems(
        document(node("a", limits=["openai", "openai"]), node("b", limits=["openai"] * 9)), limits=KNOWN
    )

    assert (twice.code, twice.pointer) == (ProblemCode.INVALID_FIELD, "/nodes/0/limits/1")
    assert twice.message == 'The limit "openai" stands there twice.'
    assert (many.code, many.pointer) == (ProblemCode.LIMIT_EXCEEDED, "/nodes/1/limits")
    assert many.message == "The node names 9 limits; 8 are allowed."


def test_a_limit_that_is_no_text_is_one_problem() -> None:
    problem, other = problems(document(node("a", limits=[7, "openai"]), node("b", limits="openai")), limits=KNOWN)

    assert (problem.code, problem.pointer) == (ProblemCode.INVALID_FIELD, "/nodes/0/limits/0")
    assert (other.code, other.pointer) == (ProblemCode.INVALID_FIELD, "/nodes/1/limits")
