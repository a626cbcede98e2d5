"""Limits by name, and rates: who waits says for what, everybody has a turn, and every ending gives back."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence

import pytest

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.events import AttemptStarted, NodeQueued, RunEvent, SlotLimit
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, NodeKey, RunId
from gql_app.core.run import AttemptStatus, NodeStatus, RunStatus, SlotWait, waiting_on
from gql_app.core.signals import CancelRequested
from gql_app.core.spec import Jitter, RateLimit, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json
from gql_app.engine.buckets import Bucket
from gql_app.engine.limits import Concurrency
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.testing.virtual_time import NOON, VirtualClock, run_on_virtual_time
from tests.support.builders import ONCE, node
from tests.support.engine import Engine, engine, node_of, plain

IN_A_SECOND = RetryPolicy(maximum_attempts=2, initial_interval_seconds=1.0, jitter=Jitter.NONE)
EVERY_TEN_SECONDS = RateLimit(count=1, per_seconds=10.0)


async def sleep(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(value["seconds"])


async def fail(value: Json, context: ToolContext) -> Json:
    raise ValueError("No.")


async def hang(value: Json, context: ToolContext) -> Json:
    await asyncio.sleep(100_000)


SLEEP, FAIL, HANG = plain("sleep", sleep), plain("fail", fail), plain("hang", hang)


def on_virtual_time(story: Callable[[], Coroutine[Json, Json, None]]) -> None:
    run_on_virtual_time(story())


def naps(names: str, *limits: str, seconds: float = 1.0, tool: str = "sleep", **fields: Json) -> list[Json]:
    return [node(name, tool=tool, input={"seconds": seconds}, limits=limits, **fields) for name in names]


def begins(log: Sequence[RunEvent]) -> Mapping[str, list[int]]:
    """Tell in which seconds the attempts of each node began."""
    found: dict[str, list[int]] = {}
    for event in log:
        if isinstance(event, AttemptStarted):
            found.setdefault(event.node.id, []).append(int((event.at - NOON).total_seconds() + 0.001))
    return found


def idle(e: Engine) -> bool:
    """Tell whether nothing of any limit is in use, waited for, or timed."""
    pool = e.executor.pool
    limits = pool.chain("sleep", ("key", "pair", "rate"))
    in_use = [limit.in_use for limit in limits if isinstance(limit, Concurrency)]
    armed = [limit.armed for limit in limits if isinstance(limit, Bucket)]
    return (in_use, armed, pool.queued()) == ([0, 0, 0], [False], 0)


def test_calls_of_a_tool_begin_no_more_often_than_its_rate() -> None:
    async def story() -> None:
        async with engine(plain("slow", sleep, rate_limit=RateLimit(count=2, per_seconds=10.0, burst=3))) as e:
            run = await e.submit(*naps("abcdefg", tool="slow"))
            await e.finished(run)

            started = begins(await e.log(run))
            assert [started[name] for name in "abcdefg"] == [[0], [0], [0], [5], [10], [15], [20]]

    on_virtual_time(story)


def test_who_waits_for_a_rate_says_so_and_says_whose() -> None:
    async def story() -> None:
        async with engine(plain("slow", sleep, rate_limit=EVERY_TEN_SECONDS)) as e:
            run_id = await e.submit(*naps("ab", tool="slow"))
            run = await e.until(run_id, lambda run: node_of(run, "b").status is NodeStatus.QUEUED)

            assert waiting_on(run, node_of(run, "b")) == SlotWait(SlotLimit.RATE, NOON, None, "slow")

    on_virtual_time(story)


def test_every_attempt_takes_a_token() -> None:
    async def story() -> None:
        async with engine(plain("bad", fail, rate_limit=EVERY_TEN_SECONDS)) as e:
            run = await e.submit(node("a", tool="bad", retry=IN_A_SECOND))
            await e.finished(run)

            assert begins(await e.log(run)) == {"a": [0, 10]}

    on_virtual_time(story)


def test_runs_take_turns_in_a_rate() -> None:
    async def story() -> None:
        async with engine(SLEEP, limits={"key": {"rateLimit": {"count": 1, "perSeconds": 10}}}) as e:
            big = await e.submit(*naps("abcdefgh", "key"))
            await asyncio.sleep(1.0)
            small = await e.submit(*naps("xy", "key"))
            await e.finished(small)

            assert begins(await e.log(small)) == {"x": [20], "y": [40]}
            await e.finished(big)

    on_virtual_time(story)


def test_a_named_limit_holds_for_all_nodes_that_name_it_whatever_their_tools() -> None:
    async def story() -> None:
        async with engine(SLEEP, plain("nap", sleep), limits={"key": {"maximumConcurrency": 1}}) as e:
            run_id = await e.submit(*naps("a", "key"), *naps("b", "key", tool="nap"), *naps("c"))
            run = await e.until(run_id, lambda run: node_of(run, "c").status is NodeStatus.RUNNING)

            assert waiting_on(run, node_of(run, "b")) == SlotWait(SlotLimit.NAMED, NOON, None, "key")
            await e.finished(run_id)
            assert begins(await e.log(run_id)) == {"a": [0], "b": [1], "c": [0]}

    on_virtual_time(story)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mcp.github.search", {"a": [0], "b": [1], "c": [0], "d": [0]}),
        ("mcp.github.*", {"a": [0], "b": [1], "c": [2], "d": [0]}),
        ("mcp.*", {"a": [0], "b": [1], "c": [2], "d": [3]}),
        ("mcp.git", {"a": [0], "b": [0], "c": [0], "d": [0]}),
    ],
)
def test_a_limit_named_like_tools_holds_for_them(name: str, expected: Mapping[str, list[int]]) -> None:
    async def story() -> None:
        tools = [plain(f"mcp.{tool}", sleep) for tool in ("github.search", "github.read", "gitlab.read")]
        async with engine(*tools, limits={name: {"maximumConcurrency": 1}}) as e:
            nodes = [*naps("ab", tool="mcp.github.search"), *naps("c", tool="mcp.github.read")]
            run = await e.submit(*nodes, *naps("d", tool="mcp.gitlab.read"))
            await e.finished(run)

            assert begins(await e.log(run)) == expected

    on_virtual_time(story)


def test_a_tools_own_limit_holds_beside_the_one_of_the_settings() -> None:
    async def story() -> None:
        tool = plain("sleep", sleep, max_concurrency=2, limits=("shared", "unheard of"))
        limits = {"sleep": {"maximumConcurrency": 3}, "shared": {"rateLimit": {"count": 1, "burst": 5}}}
        async with engine(tool, limits=limits) as e:
            run = await e.submit(*naps("abcdefgh", seconds=10.0))
            await e.finished(run)

            queued = [
                (event.node.id, event.limit, event.name) for event in await e.log(run) if type(event) is NodeQueued
            ]
            assert ("c", SlotLimit.TOOL, "sleep") in queued
            assert {limit for _, limit, _ in queued} == {SlotLimit.TOOL}
            assert begins(await e.log(run))["h"] == [30]

    on_virtual_time(story)


def test_nodes_that_name_limits_in_any_order_never_wait_for_each_other_in_a_circle() -> None:
    async def story() -> None:
        limits = {name: {"maximumConcurrency": 1} for name in ("a", "b", "c")}
        async with engine(SLEEP, limits=limits) as e:
            nodes = [*naps("uvw", "a", "b", "c"), *naps("xyz", "c", "b", "a"), *naps("rst", "b", "a")]
            run = await e.perform(*nodes)

            assert run.status is RunStatus.COMPLETED
            assert run.finished_at is not None
            assert (run.finished_at - NOON).total_seconds() == pytest.approx(9.0)

    on_virtual_time(story)


def test_a_token_is_not_spent_on_who_waits_for_something_else() -> None:
    async def story() -> None:
        limits = {
            "pair": {"maximumConcurrency": 1},
            "rate": {"rateLimit": {"count": 1, "perSeconds": 1000.0, "burst": 2}},
        }
        async with engine(SLEEP, limits=limits) as e:
            first = await e.submit(*naps("a", "pair", seconds=50.0))
            blocked = await e.submit(*naps("b", "rate", "pair"))
            other = await e.submit(*naps("cd", "rate"))
            await e.finished(blocked)

            assert begins(await e.log(other)) == {"c": [0], "d": [0]}
            assert begins(await e.log(blocked)) == {"b": [1000]}
            await e.finished(first)

    on_virtual_time(story)


def test_waiting_too_long_in_a_rate_fails_the_node_and_gives_up_its_place() -> None:
    async def story() -> None:
        async with engine(SLEEP, limits={"rate": {"rateLimit": {"count": 1, "perSeconds": 10}}}) as e:
            hasty = naps("b", "rate", timeout=TimeoutPolicy(queue_seconds=5), continue_on_failure=True)
            run_id = await e.submit(*naps("a", "rate"), *hasty, *naps("c", "rate"))
            run = await e.finished(run_id)

            error = node_of(run, "b").error
            assert error is not None
            assert (error.type, error.message) == (
                "QueueTimeout",
                "No slot became free within 5 s (RATE limit `rate`).",
            )
            assert begins(await e.log(run_id)) == {"a": [0], "c": [10]}

    on_virtual_time(story)


LIMITS: Json = {
    "key": {"maximumConcurrency": 1},
    "pair": {"maximumConcurrency": 2},
    "rate": {"rateLimit": {"count": 1, "perSeconds": 0.5, "burst": 1}},
}


@pytest.mark.parametrize(
    ("tool", "timeout", "expected"),
    [
        ("sleep", TimeoutPolicy(), AttemptStatus.COMPLETED),
        ("fail", TimeoutPolicy(), AttemptStatus.FAILED),
        ("hang", TimeoutPolicy(attempt_seconds=3), AttemptStatus.TIMED_OUT),
        ("hang", TimeoutPolicy(total_seconds=3), AttemptStatus.TIMED_OUT),
        ("hang", TimeoutPolicy(heartbeat_seconds=3), AttemptStatus.TIMED_OUT),
    ],
)
def test_an_attempt_gives_everything_back_however_it_ends(
    tool: str, timeout: TimeoutPolicy, expected: AttemptStatus
) -> None:
    async def story() -> None:
        async with engine(SLEEP, FAIL, HANG, limits=LIMITS) as e:
            nodes = naps("abc", "key", "pair", "rate", tool=tool, retry=ONCE, timeout=timeout, continue_on_failure=True)
            run = await e.perform(*nodes)

            assert [attempt.status for each in run.nodes for attempt in each.attempts] == [expected] * 3
            assert idle(e)

    on_virtual_time(story)


def test_a_run_that_is_cancelled_gives_back_what_it_has_and_its_places_in_line() -> None:
    async def story() -> None:
        async with engine(SLEEP, HANG, limits=LIMITS) as e:
            cancelled = await e.submit(*naps("abcde", "key", tool="hang"), *naps("uvwxyz", "rate", tool="hang"))
            other = await e.submit(*naps("a", "key", "rate"))
            await asyncio.sleep(1.2)
            await e.executor.signal(DEFAULT_NAMESPACE, cancelled, CancelRequested())

            assert (await e.finished(cancelled)).status is RunStatus.CANCELLED
            assert (await e.finished(other)).status is RunStatus.COMPLETED
            assert idle(e)

    on_virtual_time(story)


class Removing(MemoryRunRepository):
    """A store out of which somebody takes a run that is under way."""

    removed: RunId | None = None

    async def append(self, namespace: Namespace, run_id: RunId, *rest: Json, **more: Json) -> None:
        if run_id == self.removed:
            raise WorkflowNotFoundError(run_id)
        await super().append(namespace, run_id, *rest, **more)


def test_a_run_that_was_removed_gives_everything_back() -> None:
    async def story() -> None:
        repository = Removing(clock=VirtualClock(), settings=Settings())
        async with engine(SLEEP, repository=repository, limits=LIMITS) as e:
            gone = await e.submit(*naps("abcd", "key", "rate", seconds=10.0))
            await asyncio.sleep(1.0)
            repository.removed = gone
            await e.executor.join(gone)

            assert idle(e)

    on_virtual_time(story)


def test_who_takes_a_run_over_begins_with_full_buckets() -> None:
    async def story() -> None:
        limits: Json = {"rate": {"rateLimit": {"count": 1, "perSeconds": 100.0}}}
        clock, settings = VirtualClock(), Settings(limits=limits)
        repository = MemoryRunRepository(clock=clock, settings=settings)
        first = Engine(HANG, clock=clock, settings=settings, repository=repository)
        run_id = await first.submit(*naps("ab", "rate", tool="hang", retry=IN_A_SECOND))
        await asyncio.sleep(5.0)
        await first.executor.abandon()
        assert not first.executor.pool.queued()

        second = Engine(HANG, clock=clock, settings=settings, repository=repository)
        await second.executor.start(DEFAULT_NAMESPACE, run_id)
        run = await second.until(run_id, lambda run: node_of(run, "b").status is NodeStatus.RUNNING)

        # The bucket of the first process would have had a token at 100 s; that of the second was full at 5 s.
        assert node_of(run, "a").attempts[0].status is AttemptStatus.LOST
        assert begins(await second.log(run_id)) == {"a": [0], "b": [5]}
        await second.executor.abandon()

    on_virtual_time(story)


@pytest.mark.parametrize("way", ["close", "abandon"])
def test_an_executor_that_ends_leaves_no_timer_behind(way: str) -> None:
    async def story() -> None:
        made = Engine(HANG, clock=VirtualClock(), settings=Settings(limits=LIMITS))
        await made.submit(*naps("abc", "rate", "pair", tool="hang"), timeout_seconds=1e6)
        await asyncio.sleep(0.1)
        assert made.executor.pool.queued()

        await getattr(made.executor, way)()

        handles = [handle for handle in _timers(asyncio.get_running_loop()) if not handle.cancelled()]
        assert handles == []

    on_virtual_time(story)


def _timers(loop: asyncio.AbstractEventLoop) -> Sequence[asyncio.TimerHandle]:
    timers: Sequence[asyncio.TimerHandle] = loop._scheduled  # type: ignore[attr-defined]  # only the loop itself knows
    return timers


def test_a_limit_that_the_server_does_not_have_any_more_limits_nothing() -> None:
    async def story() -> None:
        async with engine(SLEEP) as e:
            run = await e.submit(*naps("abc", "gone"))
            await e.finished(run)

            assert begins(await e.log(run)) == {"a": [0], "b": [0], "c": [0]}
            assert e.executor.pool.chain("sleep", ("gone",)) == (e.executor.pool.executor,)
            assert (await e.run(run)).node_plan(NodeKey("a")).limits == ("gone",)

    on_virtual_time(story)
