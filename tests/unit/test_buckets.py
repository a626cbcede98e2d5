"""Rates: no more begins than a bucket allows, no less than it could, and everybody in turn."""

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.ids import Holder, NodeKey
from gql_app.core.spec import RateLimit
from gql_app.engine.buckets import Bucket
from gql_app.testing.virtual_time import run_on_virtual_time

TICK: Final = 1e-6
"""As exact as a bucket's timer is."""


class Run:
    """A run that waits, and what it got and when."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.got: list[tuple[float, str]] = []
        self.waits: dict[Holder, None] = {}

    def want(self, name: str) -> None:
        holder = NodeKey(name)
        if self.bucket.take():
            self._note(holder)
        else:
            self.waits[holder] = None
            self.bucket.wait(self, holder)

    def give_up(self) -> None:
        if self.waits:
            holder = next(reversed(self.waits))
            del self.waits[holder]
            self.bucket.leave(self, holder)

    def granted(self, holder: Holder) -> None:
        del self.waits[holder]
        self._note(holder)

    def _note(self, holder: Holder) -> None:
        self.got.append((asyncio.get_running_loop().time(), str(holder)))

    @property
    def times(self) -> list[float]:
        return [time for time, _ in self.got]


def on_virtual_time(story: Callable[[], Coroutine[object, object, None]]) -> None:
    run_on_virtual_time(story())


rates = st.builds(
    RateLimit,
    count=st.integers(1, 50),
    per_seconds=st.sampled_from([0.001, 0.3, 1.0, 1 / 3, 7.0, 60.0, 3_600.0]),
    burst=st.none() | st.integers(1, 60),
)
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.001, 0.1, 0.333, 1.0, 10.0, 1_000.0]),
        st.integers(0, 2),
        st.sampled_from(["want", "want", "want", "give up"]),
    ),
    max_size=120,
)


@given(rates, steps)
def test_over_no_window_more_begins_than_the_burst_and_what_flowed_in(
    rate: RateLimit, what: list[tuple[float, int, str]]
) -> None:
    async def story() -> None:
        bucket = Bucket(rate, "x")
        runs = [Run(bucket) for _ in range(3)]
        for number, (pause, who, action) in enumerate(what):
            await asyncio.sleep(pause)
            if action == "want":
                runs[who].want(f"n{number}")
            else:
                runs[who].give_up()
            assert bucket.armed is bool(bucket.line)
        await asyncio.sleep(200 * rate.per_seconds)

        assert not bucket.line
        assert not bucket.armed
        times = sorted(time for run in runs for time in run.times)
        for first, begin in enumerate(times):
            for last in range(first, len(times)):
                allowed = rate.capacity + (times[last] - begin + TICK) * rate.count / rate.per_seconds
                assert last - first + 1 <= allowed

    on_virtual_time(story)


@given(rates)
def test_whoever_waits_begins_as_soon_as_the_token_is_there(rate: RateLimit) -> None:
    async def story() -> None:
        run = Run(Bucket(rate, "x"))
        for number in range(rate.capacity + 20):
            run.want(f"n{number}")
        await asyncio.sleep(21 * rate.per_seconds)

        at_once, later = run.times[: rate.capacity], run.times[rate.capacity :]
        assert at_once == [0.0] * rate.capacity
        assert later == [pytest.approx(n * rate.per_seconds / rate.count, abs=2 * TICK) for n in range(1, 21)]

    on_virtual_time(story)


def test_no_error_adds_up_however_long_a_bucket_is_in_use() -> None:
    async def story() -> None:
        run = Run(Bucket(RateLimit(count=3, per_seconds=0.1, burst=2), "x"))
        for number in range(30_002):
            run.want(f"n{number}")
        await asyncio.sleep(2_000.0)

        assert run.times[-1] == pytest.approx(1_000.0, abs=2 * TICK)

    on_virtual_time(story)


def test_a_pause_saves_up_no_more_than_the_burst() -> None:
    async def story() -> None:
        run = Run(Bucket(RateLimit(count=10, burst=3), "x"))
        await asyncio.sleep(1_000.0)
        for number in range(5):
            run.want(f"n{number}")
        await asyncio.sleep(10.0)

        assert [round(time - 1_000.0, 3) for time in run.times] == [0.0, 0.0, 0.0, 0.1, 0.2]

    on_virtual_time(story)


def test_runs_take_turns_however_many_nodes_one_of_them_has() -> None:
    async def story() -> None:
        bucket = Bucket(RateLimit(count=1, burst=1), "x")
        big, small = Run(bucket), Run(bucket)
        for number in range(100):
            big.want(f"n{number}")
        for number in range(3):
            small.want(f"n{number}")
        await asyncio.sleep(6.5)

        assert small.times == [pytest.approx(time, abs=TICK) for time in (2.0, 4.0, 6.0)]
        assert [name for _, name in big.got] == ["n0", "n1", "n2", "n3"]

    on_virtual_time(story)


def test_who_comes_while_others_wait_does_not_take_their_token() -> None:
    async def story() -> None:
        bucket = Bucket(RateLimit(count=1, burst=1), "x")
        early, late = Run(bucket), Run(bucket)
        early.want("first")
        early.want("second")
        # The token is there at this very instant, before the timer was heard.
        asyncio.get_running_loop().call_at(1.0, late.want, "third")
        await asyncio.sleep(3.0)

        assert [time for time, _ in early.got] == [0.0, pytest.approx(1.0, abs=TICK)]
        assert late.times == [pytest.approx(2.0, abs=TICK)]

    on_virtual_time(story)


def test_who_leaves_costs_no_token_and_the_last_one_stops_the_timer() -> None:
    async def story() -> None:
        bucket = Bucket(RateLimit(count=1, per_seconds=10.0), "x")
        run = Run(bucket)
        for name in ("a", "b", "c"):
            run.want(name)
        await asyncio.sleep(5.0)
        run.give_up()
        await asyncio.sleep(10.0)

        assert [name for _, name in run.got] == ["a", "b"]
        assert not bucket.armed

        run.want("d")
        run.give_up()
        assert not bucket.armed

    on_virtual_time(story)


def test_one_timer_waits_for_many() -> None:
    async def story() -> None:
        loop, set_at = asyncio.get_running_loop(), []
        call_later = loop.call_later

        def counting(delay: float, *rest: object, **options: object) -> asyncio.TimerHandle:
            set_at.append(loop.time())
            return call_later(delay, *rest, **options)  # type: ignore[arg-type]  # handed on as it came

        loop.call_later = counting  # type: ignore[method-assign]  # to count what the bucket asks of the loop
        run = Run(Bucket(RateLimit(count=1, burst=1), "x"))
        for number in range(1_000):
            run.want(f"n{number}")
        asyncio.get_running_loop().call_at(10.5, done.set)
        await done.wait()

        assert len(set_at) == 11
        assert all(second - first > 0.5 for first, second in pairwise(set_at))

    done = asyncio.Event()
    on_virtual_time(story)
