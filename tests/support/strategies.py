"""Plans, requests and whole lives of runs, as hypothesis chooses them."""

from typing import Final

from hypothesis import strategies as st

from gql_app.core.events import StepKind, StepRequest
from gql_app.core.ids import NodeKey
from gql_app.core.plan import NodePlan, Plan
from gql_app.core.spec import Budget, Jitter, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Value
from tests.support.builders import plan
from tests.support.world import live_through

SECONDS: Final = st.sampled_from([None, 2.0, 40.0])
PATIENT: Final = st.sampled_from([None, None, None, 2.0, 40.0, 40.0])


@st.composite
def policies(draw: st.DrawFn, seconds: st.SearchStrategy[float | None] = SECONDS) -> tuple[RetryPolicy, TimeoutPolicy]:
    retry = RetryPolicy(
        maximum_attempts=draw(st.integers(1, 4)),
        initial_interval_seconds=draw(st.sampled_from([0.5, 10.0])),
        jitter=draw(st.sampled_from(Jitter)),
        non_retryable_errors=draw(st.sampled_from([(), ("Boom",), ("AttemptTimeout",)])),
    )
    timeout = TimeoutPolicy(
        attempt_seconds=draw(seconds),
        heartbeat_seconds=draw(seconds),
        queue_seconds=draw(seconds),
        total_seconds=draw(seconds),
    )
    return retry, timeout


@st.composite
def plans(draw: st.DrawFn, most: int = 8, seconds: st.SearchStrategy[float | None] = SECONDS) -> Plan:
    nodes = []
    for i in range(draw(st.integers(1, most))):
        earlier = [f"n{j}" for j in range(i)]
        after = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        reads = [name for name in after if draw(st.booleans())]
        retry, timeout = draw(policies(seconds))
        nodes.append(
            NodePlan(
                key=NodeKey(f"n{i}"),
                tool="t",
                depends_on=tuple(after),
                reads=tuple(reads),
                when=draw(st.sampled_from([None, None, "x"])),
                retry=retry,
                timeout=timeout,
                continue_on_failure=draw(st.booleans()),
            )
        )
    return plan(
        *nodes,
        timeout_seconds=draw(st.sampled_from([20.0, 3600.0])),
        maximum_concurrency=draw(st.sampled_from([None, 1, 2])),
        budget=draw(st.sampled_from([None, Budget(tokens=12), Budget(tokens=30), Budget(cost_usd=1.0)])),
    )


@st.composite
def requests(draw: st.DrawFn) -> StepRequest:
    retry, timeout = draw(policies(PATIENT))
    return StepRequest(
        kind=draw(st.sampled_from([StepKind.MODEL, *StepKind])),
        name="t",
        input=Value(size=7),
        retry=retry,
        timeout=timeout,
    )


plain_worlds: Final = st.builds(live_through, plans(), st.integers(1, 4), st.integers(0, 2**32))
busy_worlds: Final = st.builds(
    live_through,
    plans(3, PATIENT),
    st.integers(1, 3),
    st.integers(0, 2**32),
    st.lists(requests(), min_size=1, max_size=4),
)
worlds: Final = plain_worlds | busy_worlds
