"""Progress as the protocol wants it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.cli.assistant.reporting import Meter


@given(st.lists(st.floats(0, 1), min_size=2, max_size=1_500))
def test_progress_always_rises_and_is_never_more_than_all(fractions: list[float]) -> None:
    meter = Meter()

    told = [meter.rise(fraction) for fraction in fractions]

    assert told == sorted(set(told))
    assert all(0 <= amount < 1 for amount in told)


def test_progress_follows_what_is_done() -> None:
    meter = Meter()

    told = [meter.rise(fraction) for fraction in (0, 0, 0.5, 0.25, 0.75, 1, 1)]

    assert told == pytest.approx([0, 0, 0.5, 0.5, 0.75, 1, 1], abs=0.002)
