"""Counters and histograms that cost next to nothing to count with: plain numbers, read when somebody asks.

Those of `prometheus_client` lock and take 1 to 2 µs each time, which a node of 20 µs would feel. Everything here is
counted on one event loop.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds for what takes as long as a request or a delay."""
LONG_SECONDS: Final = (
    0.001,
    0.005,
    0.01,
    0.05,
    0.1,
    0.5,
    1.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    1_800.0,
    3_600.0,
    21_600.0,
)
"""Bounds for what takes as long as a run or an attempt."""

T = TypeVar("T")


class Durations:
    """How often something took how long."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add what was counted to a family, under these values of its labels."""
        names = [*map(str, self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(names, accumulate(self._counts), strict=True)), self._sum)


class Labelled(Generic[T]):
    """One of something for each combination of the values of some labels. Whoever asks for one bounds how many."""

    def __init__(self, *labels: str) -> None:
        self.labels: Final = labels
        self.children: Final[dict[tuple[str, ...], T]] = {}


class Counts(Labelled[float]):
    """A counter with labels."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        super().__init__(*labels)
        self.name: Final = name
        self.text: Final = text

    def add(self, *values: str, count: float = 1) -> None:
        """Count."""
        self.children[values] = self.children.get(values, 0) + count

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Tell everything that was counted."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for values, count in self.children.items():
            family.add_metric(values, count)
        yield family


class Histograms(Labelled[Durations]):
    """A histogram with labels."""

    def __init__(self, name: str, text: str, *labels: str, bounds: Sequence[float] = SECONDS) -> None:
        super().__init__(*labels)
        self.name: Final = name
        self.text: Final = text
        self._bounds = bounds

    def of(self, *values: str) -> Durations:
        """Find or make the one for these values."""
        found = self.children.get(values)
        if found is None:
            found = self.children[values] = Durations(self._bounds)
        return found

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Tell everything that was counted."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        for values, durations in self.children.items():
            durations.add_to(family, values)
        yield family
