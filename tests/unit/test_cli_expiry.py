"""When a key ends, as one writes it."""

from datetime import UTC, datetime

import pytest

from gql_app.cli.expiry import parse_expiry

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90m", datetime(2026, 1, 1, 13, 30, tzinfo=UTC)),
        ("12h", datetime(2026, 1, 2, tzinfo=UTC)),
        ("30d", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2w", datetime(2026, 1, 15, 12, tzinfo=UTC)),
        ("2030-01-31", datetime(2030, 1, 31, tzinfo=UTC)),
        ("2030-01-31T01:00:00+02:00", datetime(2030, 1, 30, 23, tzinfo=UTC)),
    ],
)
def test_it_is_a_time_from_now_or_a_date(text: str, at: datetime) -> None:
    assert parse_expiry(text, NOON) == at


@pytest.mark.parametrize("text", ["", "soon", "0d", "-1d", "1y", "1.5d", "2030-13-01", "999999w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_expiry(text, NOON)


@pytest.mark.parametrize("text", ["2025-01-01", "2026-01-01T12:00:00Z"])
def test_what_is_over_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is over already"):
        parse_expiry(text, NOON)
