"""Metrics, without anything that they are metrics of."""

import pytest

from gql_app.settings import Settings
from gql_app.telemetry.metrics import Metrics
from gql_app.telemetry.requests import CANCELLED, COMPLETED
from gql_app.telemetry.tallies import Durations, Histograms
from tests.support.metrics import Samples


def samples(metrics: Metrics) -> Samples:
    return Samples(metrics.expose()[0].decode())


def test_a_service_that_has_done_nothing_says_so() -> None:
    told = samples(Metrics(Settings()))

    assert told.labels("runs_ended_total", "outcome") == {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"}
    assert told.value("runs_submitted_total") == 0
    assert told.labels("build_info", "version") == {"0.1.0"}
    assert "process_resident_memory_bytes" in told.names


def test_ten_thousand_made_up_names_make_no_more_series_than_there_may_be() -> None:
    metrics = Metrics(Settings(maximum_operation_names=10), operations=["Known"])
    for number in range(10_000):
        metrics.operations.count(f"Made{number}", "query", COMPLETED, 0.001)
    metrics.operations.count("Known", "query", COMPLETED, 0.001)

    told = samples(metrics)

    assert told.labels("graphql_operations_total", "operation") == {*(f"Made{i}" for i in range(10)), "other", "Known"}
    assert told.value("graphql_operations_total", operation="other", kind="query", outcome=COMPLETED) == 9_990
    assert told.value("graphql_operation_duration_seconds_count", operation="Known", kind="query") == 1


def test_a_client_that_calls_its_operation_like_a_placeholder_changes_nothing() -> None:
    metrics = Metrics(Settings(maximum_operation_names=1))
    for name in ("other", "anonymous", "unknown", "Mine"):
        metrics.operations.count(name, "query", COMPLETED, 0.001)

    assert samples(metrics).labels("graphql_operations_total", "operation") == {"other", "anonymous", "unknown", "Mine"}


def test_operations_of_trusted_documents_are_always_told_apart() -> None:
    metrics = Metrics(Settings(maximum_operation_names=1))
    for name in ("Made1", "Made2"):
        metrics.operations.count(name, "query", COMPLETED, 0.001)
    metrics.operations.count("Trusted", "query", COMPLETED, 0.001, trusted=True)

    assert samples(metrics).labels("graphql_operations_total", "operation") == {"Made1", "other", "Trusted"}


def test_methods_that_nobody_knows_share_a_name() -> None:
    metrics = Metrics(Settings())
    for method in ("GET", "BREW", "WHEN"):
        metrics.http.count("/graphql", method, 405, 0.001)
    metrics.http.count("/graphql", "GET", None, None)

    told = samples(metrics)

    assert told.labels("http_requests_total", "method") == {"GET", "other"}
    assert told.labels("http_requests_total", "status") == {"405", "none"}
    assert told.value("http_request_duration_seconds_count", route="/graphql") == 3


def test_a_subscription_is_counted_without_a_duration() -> None:
    metrics = Metrics(Settings())
    metrics.operations.count("Watch", "subscription", CANCELLED)

    assert samples(metrics).labels("graphql_operation_duration_seconds_count", "operation") == set()


@pytest.mark.parametrize(
    ("seconds", "counts"), [(0.0, [1, 1, 1]), (1.0, [1, 1, 1]), (1.5, [0, 1, 1]), (2.0, [0, 1, 1]), (9.0, [0, 0, 1])]
)
def test_a_bucket_holds_what_is_at_most_its_bound(seconds: float, counts: list[int]) -> None:
    histograms = Histograms("some_seconds", "Some.", bounds=(1.0, 2.0))
    histograms.of().observe(seconds)

    [family] = histograms.collect()

    assert [sample.value for sample in family.samples if sample.name.endswith("_bucket")] == counts
    assert [sample.value for sample in family.samples if sample.name.endswith("_sum")] == [seconds]


def test_durations_are_added_up() -> None:
    durations = Durations((1.0,))
    for seconds in (0.25, 0.5, 4.0):
        durations.observe(seconds)

    assert durations.count == 3
