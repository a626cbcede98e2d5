"""The benchmarks measure what they say, at sizes that take no time; no figure is compared with its target."""

import asyncio

import pytest

from benchmarks import durable, engine, graphql, langgraph, memory, scale, service, streams, subscribers
from benchmarks.__main__ import NAMES, main
from benchmarks.figure import Figure, table
from tests.support.requirements import require_postgres


def names(figures: list[Figure]) -> list[str]:
    assert all(figure.value > 0 for figure in figures)
    return [figure.name for figure in figures]


def test_the_engine_is_measured_beside_bare_asyncio() -> None:
    sizes = engine.Sizes(fan_out=20, small=2, large=30, chains=3, rounds=2)

    figures = engine.figures(sizes)

    assert names(figures) == [
        "bare asyncio, fan-out of 20",
        "engine, fan-out of 20",
        "engine / bare asyncio, fan-out of 20 (aim 3.5)",
        "bare asyncio, 3 chains of 3",
        "engine, 3 chains of 3",
        "engine / bare asyncio, 3 chains of 3 (aim 3.5)",
        "a node of 30 / a node of 2",
    ]


def test_rounds_of_a_peer_alternate_with_ours() -> None:
    asked: list[str] = []

    async def peer(case: str) -> float:
        asked.append(case)
        return 1e6

    sizes = langgraph.Sizes(chains=2, fan_out=5, rounds=2)

    times = asyncio.run(langgraph.measure(sizes, peer))

    assert asked == ["chains", "fan-out"] * 2
    assert times["LangGraph chains"] == pytest.approx(1e12 / 6)
    assert times["LangGraph fan-out"] == pytest.approx(1e12 / 5)
    assert [figure.met for figure in langgraph.compare(sizes, times)] == [True] * 6


def test_every_subscriber_of_a_run_is_told_every_event() -> None:
    figures = subscribers.figures(subscribers.Sizes(subscribers=5, rounds=1, steps=2, warm_up=1))

    told = figures[0]
    assert told.name == "5 subscribers, events told to each"
    assert told.value == len(["submitted", "started", *["attempt", "completed"] * 5, "completed"])
    assert [figure.at_most for figure in figures if figure.target] == [2.5, 60, 1.25, 16]


def test_every_subscriber_of_a_stream_hears_the_whole_output() -> None:
    figures = streams.figures(streams.Sizes(chunks=300, per_second=1_000, subscribers=3, rounds=1))

    assert [figure.at_most for figure in figures if figure.target] == [50, 2] * 2
    assert names(figures)[:2] == ["memory, 3 subscribers, chunks streamed", "memory, 3 subscribers, messages to each"]


def test_finished_runs_are_measured_in_a_process_of_their_own() -> None:
    figures = memory.figures(memory.Sizes(runs=3, nodes=2, warm_up=1))

    assert [figure.at_most for figure in figures] == [250, None]


def test_submits_are_measured_through_the_service_and_over_http() -> None:
    figures = service.figures(service.Sizes(submits=4, clients=2, warm_up=1))

    assert len(names(figures)) == 4


def test_requests_are_measured_beside_a_bare_endpoint_that_answers_the_same() -> None:
    figures = graphql.figures(graphql.Sizes(requests=2, rounds=1, small=1, large=2, hostile_rounds=1))

    assert [figure.at_most for figure in figures if figure.target] == [5, 4.5, 4.5, 50]
    assert len(names(figures)) == 13


def test_what_durability_costs_is_measured_on_every_database() -> None:
    require_postgres()

    figures = durable.figures(durable.Sizes(runs=2, nodes=2, rounds=1, commits=2))

    assert [figure.at_most for figure in figures if figure.target] == [3, 4] * 2


def test_a_store_that_holds_much_is_measured_on_every_database() -> None:
    require_postgres()

    figures = scale.figures(scale.Sizes(finished=5, unfinished=2, lists=1))

    assert [figure.at_most for figure in figures if figure.target] == [5, 300, 3] * 2


def test_a_table_tells_figures_targets_and_what_became_of_them() -> None:
    figures = [
        Figure(name="slow", value=12.345, unit="x", at_most=5),
        Figure(name="fast", value=12_345, unit="runs/s", at_least=10_000),
        Figure(name="plain", value=1, unit="ms"),
    ]

    lines = table(figures).splitlines()

    assert lines == [
        "figure                  target",
        "slow     12.35  x       at most 5        MISSED",
        "fast    12,345  runs/s  at least 10,000  met",
        "plain     1.00  ms",
    ]


def test_an_unknown_benchmark_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["engine", "speed"])

    assert code == 2
    assert capsys.readouterr().err == f"No benchmark 'speed'; there are {', '.join(NAMES)}.\n"
