"""What a benchmark finds out: figures, some of them with a target."""

from collections.abc import Sequence
from dataclasses import dataclass


class CannotMeasureError(Exception):
    """Something that the benchmark needs is missing; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that was measured. Without a target it is for information."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is met, if there is one."""
        enough = self.at_least is None or self.value >= self.at_least
        return enough and (self.at_most is None or self.value <= self.at_most)

    @property
    def target(self) -> str:
        """The target in words; empty if there is none."""
        if self.at_least is not None:
            return f"at least {self.at_least:,g}"
        return f"at most {self.at_most:,g}" if self.at_most is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the target is met, in words; empty if there is none."""
        return ("met" if self.met else "MISSED") if self.target else ""


def table(figures: Sequence[Figure]) -> str:
    """Lay figures out, one a line."""
    rows = [("figure", "", "", "target", "")]
    rows += [(one.name, _number(one.value), one.unit, one.target, one.verdict) for one in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for name, value, unit, target, verdict in rows:
        line = (name.ljust(widths[0]), value.rjust(widths[1]), unit.ljust(widths[2]), target.ljust(widths[3]), verdict)
        lines.append("  ".join(line).rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.2f}"
