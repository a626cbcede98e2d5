"""What holds for every document."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.errors import InvalidWorkflowError, ProblemCode
from gql_app.core.graph import find_cycles
from gql_app.core.planning import layers
from gql_app.core.values import Json
from tests.support.planning import document, node, planned, problems

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("${ nodes.a.output }")
)
ANYTHING = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=4), values, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from(["a", "b", "in", "", "echo", "delay", "${ nodes.b.output }"])
POLICIES = st.dictionaries(
    st.sampled_from(["maximumAttempts", "jitter", "attemptSeconds", "totalSeconds", "id", "name"]), ANYTHING, max_size=3
)
NODES = st.fixed_dictionaries(
    {},
    optional={
        "id": NAMES | ANYTHING,
        "tool": NAMES | ANYTHING,
        "input": ANYTHING,
        "dependsOn": st.lists(NAMES | ANYTHING, max_size=3) | ANYTHING,
        "when": NAMES | ANYTHING,
        "retry": POLICIES | ANYTHING,
        "timeout": POLICIES | ANYTHING,
        "x": ANYTHING,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | ANYTHING,
        "nodes": st.lists(NODES | ANYTHING, max_size=4) | ANYTHING,
        "input": ANYTHING,
        "inputSchema": ANYTHING
        | st.dictionaries(st.sampled_from(["type", "$ref", "$schema", "enum", "pattern"]), ANYTHING),
        "output": ANYTHING,
        "labels": ANYTHING,
        "timeoutSeconds": ANYTHING,
        "y": ANYTHING,
    },
)


@given(DOCUMENTS | ANYTHING)
def test_any_value_is_planned_or_refused_with_problems(what: Json) -> None:
    with suppress(InvalidWorkflowError):
        planned(what)


@given(DOCUMENTS)
def test_every_problem_points_into_the_document(what: Json) -> None:
    try:
        planned(what)
    except InvalidWorkflowError as error:
        for problem in error.problems:
            if problem.code is not ProblemCode.INVALID_INPUT:
                follow(what, problem.pointer)


def follow(value: Json, pointer: str) -> None:
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Draw a graph without cycles, its nodes in any order."""
    size = draw(st.integers(1, 12))
    edges = {f"n{i}": [f"n{j}" for j in range(i) if draw(st.booleans())] for i in range(size)}
    return {name: edges[name] for name in draw(st.permutations(list(edges)))}


def as_document(graph: dict[str, list[str]]) -> Json:
    return document(*(node(name, dependsOn=needed) for name, needed in graph.items()))


@given(graphs())
def test_a_graph_without_cycles_is_planned_in_layers(graph: dict[str, list[str]]) -> None:
    plan = planned(as_document(graph)).plan

    level = {name: number for number, layer in enumerate(layers(plan)) for name in layer}
    assert {planned.key.id: list(planned.depends_on) for planned in plan.nodes} == graph
    assert all(level[name] == max((level[other] + 1 for other in needed), default=0) for name, needed in graph.items())


@given(graphs(), st.data())
def test_an_edge_back_makes_a_cycle(graph: dict[str, list[str]], data: st.DataObject) -> None:
    first = data.draw(st.sampled_from(sorted(graph)))
    last = data.draw(st.sampled_from(sorted(reachable(graph, first))))
    graph[last] = [*graph[last], first]

    assert {problem.code for problem in problems(as_document(graph))} == {ProblemCode.CYCLE}


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=4)))
def test_every_cycle_that_is_found_is_one(graph: dict[str, list[str]]) -> None:
    cycles = find_cycles(graph, 100)

    assert len(set(cycles)) == len(cycles)
    for cycle in cycles:
        assert len(set(cycle)) == len(cycle)
        for name, other in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
            assert other in graph[name]


def reachable(graph: dict[str, list[str]], name: str) -> set[str]:
    found = {name}
    waiting = [name]
    while waiting:
        new = set(graph[waiting.pop()]) - found
        found |= new
        waiting.extend(sorted(new))
    return found
