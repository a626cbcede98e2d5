"""What a plan says of a document that can work."""

import pytest

from gql_app.core.planning import layers
from gql_app.core.spec import RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from tests.support.planning import document, node, planned, planned_node


def test_a_dependency_is_inferred_from_an_expression_and_comes_after_the_written_ones() -> None:
    what = document(
        node("a"), node("b"), node("c", dependsOn=["b"], input={"value": "${ nodes.a.output }"}, when="${ true }")
    )

    plan = planned_node(what, 2)

    assert plan.depends_on == ("b", "a")
    assert plan.reads == ("a",)
    assert plan.when == "true"


def test_only_nodes_whose_output_is_mentioned_are_read() -> None:
    what = document(
        node("a"),
        node("b"),
        node("c", input={"value": "${ nodes.a.status }"}, when="${ nodes.b.output == 1 && nodes.a.error == null }"),
    )

    plan = planned_node(what, 2)

    assert plan.depends_on == ("a", "b")
    assert plan.reads == ("b",)


def test_a_node_may_depend_on_one_that_stands_after_it() -> None:
    assert layers(planned(document(node("b", dependsOn=["a"]), node("a"))).plan) == (("a",), ("b",))


def test_layers_hold_what_could_run_side_by_side() -> None:
    what = document(
        node("a"), node("b", dependsOn=["a"]), node("c", dependsOn=["a"]), node("d", dependsOn=["a", "c"]), node("e")
    )

    assert layers(planned(what).plan) == (("a", "e"), ("b", "c"), ("d",))


def test_policies_merge_field_by_field_from_the_node_the_tool_and_the_defaults() -> None:
    what = document(
        node(
            "a",
            "delay",
            input={"seconds": 1},
            retry={"maximumAttempts": 2},
            timeout={"attemptSeconds": None, "totalSeconds": 9},
        )
    )

    plan = planned_node(what)

    assert plan.retry == RetryPolicy(maximum_attempts=2, backoff_coefficient=1.5)
    assert plan.timeout == TimeoutPolicy(attempt_seconds=None, total_seconds=9)


def test_equal_policies_are_one_object() -> None:
    what = document(*(node(f"n{i}", retry={"maximumAttempts": 2}, timeout={"queueSeconds": 1}) for i in range(3)))

    nodes = planned(what).plan.nodes

    assert len({id(planned.retry) for planned in nodes}) == 1
    assert len({id(planned.timeout) for planned in nodes}) == 1


def test_a_policy_that_writes_a_default_overrules_the_tool() -> None:
    what = document(
        node("a", "delay", input={"seconds": 1}, retry={"maximumAttempts": 3}),
        node("b", "delay", input={"seconds": 1}, retry={"jitter": "FULL"}),
    )

    assert planned_node(what, 0).retry.maximum_attempts == 3
    assert planned_node(what, 1).retry.maximum_attempts == 7


def test_the_input_that_is_handed_over_replaces_the_document_s() -> None:
    what = document(node("a"), input={"x": 1, "y": 2})

    assert planned(what).input == {"x": 1, "y": 2}
    assert planned(what, input={"x": 3}).input == {"x": 3}
    assert planned(what, input=None).input is None


def test_the_document_is_kept_as_it_was_sent() -> None:
    what = document(node("a", input={"value": "é"}), labels={"team": "x"})

    result = planned(what)

    assert (
        result.document
        == '{"name":"test","nodes":[{"id":"a","tool":"echo","input":{"value":"é"}}],"labels":{"team":"x"}}'.encode()
    )
    assert result.labels == {"team": "x"}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param({"nodes": [{"tool": "echo", "id": "a"}], "name": "test"}, True, id="the order of fields"),
        pytest.param({"name": "test", "nodes": [{"id": "a", "tool": "echo", "dependsOn": []}]}, False, id="a default"),
        pytest.param({"name": "test", "nodes": [{"id": "a", "tool": "echo"}], "input": 1}, False, id="the input"),
    ],
)
def test_the_fingerprint_is_of_document_and_input_as_sent(other: Json, same: bool) -> None:
    assert (planned(document(node("a"))).fingerprint == planned(other).fingerprint) is same


def test_the_fingerprint_tells_inputs_handed_over_apart() -> None:
    what = document(node("a"))

    assert planned(what, input=1).fingerprint != planned(what, input=2).fingerprint
    assert planned(what, input=None).fingerprint == planned(what).fingerprint


def test_the_run_s_fields_stand_in_the_plan() -> None:
    plan = planned(document(node("a"), output="${ nodes.a.output }", timeoutSeconds=5, maximumConcurrency=2)).plan

    assert plan.output == "${ nodes.a.output }"
    assert plan.timeout_seconds == 5
    assert plan.maximum_concurrency == 2
    assert planned(document(node("a"))).plan.output is None


def test_an_input_that_fits_its_schema_is_taken() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"n": {"$ref": "#/$defs/n"}, "id": {"pattern": "^[a-z]+$"}},
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
        "$defs": {"n": {"type": "integer"}},
    }

    assert planned(document(node("a"), input={"n": 1, "id": "a", "x-b": 2}, inputSchema=schema)).input["n"] == 1


def test_an_escaped_opening_is_text() -> None:
    assert planned_node(document(node("a", "search", input={"query": "$${x}"}))).reads == ()
