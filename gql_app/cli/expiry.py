"""Reads when something ends: in how long, or on which day."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def parse_expiry(text: str, now: datetime) -> datetime:
    """Read a time to come: `90m`, `12h`, `30d`, `52w`, or a date or time in UTC. Raises `ValueError`."""
    found = _SPAN.fullmatch(text)
    try:
        at = now + int(found[1]) * _UNITS[found[2]] if found else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time: write 12h, 30d, or a date like 2030-01-31.") from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if at <= now:
        raise ValueError(f"{text!r} is over already.")
    return at.replace(microsecond=0)
