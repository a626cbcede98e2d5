"""How a client comes back."""

import pytest

from gql_app.client import Backoff


@pytest.mark.parametrize(("attempt", "due"), [(1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (6, 15.0), (50, 15.0)])
def test_the_delay_grows_to_its_maximum_and_is_spread_over_its_half(attempt: int, due: float) -> None:
    backoff = Backoff(initial_seconds=0.5, coefficient=2, maximum_seconds=15)

    assert backoff.delay(attempt, 0.0) == due / 2
    assert backoff.delay(attempt, 0.5) == due * 0.75
