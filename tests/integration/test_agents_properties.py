"""Agents of any script, whose process dies at any moment: the answer is the same, and nothing is done twice."""

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from gql_app.core.events import StepCompleted, StepStarted
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.testing.virtual_time import run_on_virtual_time
from gql_app.tools.decorator import tool
from tests.support.agents import agents, asked, engine_with_agents, output_of, steps_started, text_of_attempt
from tests.support.troubled_repository import TroubledRepository

SECONDS = st.floats(0.5, 4.0)
NAMES = st.sampled_from(["one", "two"])
CALLS = st.lists(
    st.one_of(
        st.builds(lambda name: {"tool": "slow", "arguments": {"name": name}}, NAMES),
        st.just({"tool": "unknown", "arguments": {}}),
        st.just({"tool": "broken", "arguments": {}}),
    ),
    min_size=1,
    max_size=3,
)
ROUNDS = st.lists(
    st.one_of(
        st.builds(
            lambda calls, text, delay: {"text": text, "toolCalls": calls, "delaySeconds": delay},
            CALLS,
            st.sampled_from(["", "I look."]),
            SECONDS,
        ),
        st.just({"error": {"status": 503, "retryAfterSeconds": 1}}),
    ),
    max_size=4,
).filter(lambda rounds: sum("error" in each for each in rounds) < 3)
OPTIONS: Json = {"tools": ["slow", "broken"]}


class Library:
    """Tools that take their time, and count what they have done."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()

        @tool(name="slow")
        async def slow(name: str) -> str:
            await asyncio.sleep(2)
            self.done[name] += 1
            return name

        @tool(name="broken")
        async def broken() -> None:
            self.done["broken"] += 1
            raise ValueError("It is broken.")

        self.tools = slow, broken


@settings(max_examples=40, deadline=None)
@given(ROUNDS, st.floats(0.1, 20.0))
def test_wherever_an_agent_is_interrupted_it_gives_what_it_would_have_given(rounds: list[Json], dies_at: float) -> None:
    script = [*rounds, {"text": "All done.", "delaySeconds": 1}]
    whole, cut = Library(), Library()

    async def undisturbed() -> tuple[Json, list[str]]:
        async with agents(*whole.tools) as made:
            run_id = await made.submit(asked(script, **OPTIONS))
            run = await made.finished(run_id)
            return await output_of(made, run), steps_started(await made.log(run_id))

    async def interrupted() -> None:
        repository = TroubledRepository()
        first = engine_with_agents(repository, *cut.tools)
        run_id = await first.submit(asked(script, **OPTIONS))
        await asyncio.sleep(dies_at)
        await first.executor.abandon()
        log = await first.log(run_id)
        finished = {event.step for event in log if isinstance(event, StepCompleted)}
        is_over = (await first.run(run_id)).finished_at is not None

        async with agents(*cut.tools, repository=repository) as made:
            if not is_over:
                await made.executor.start(DEFAULT_NAMESPACE, run_id)
            run = await made.finished(run_id)
            log = await made.log(run_id)
            output = await output_of(made, run)

        again = {event.step for event in log if isinstance(event, StepStarted) and event.attempt == 2}
        assert not again & finished
        assert output == expected
        assert set(steps_started(log)) == set(steps)
        if output is not None:  # A model that calls what is not there again and again is given up.
            assert text_of_attempt(log, 1 if is_over else 2).endswith("All done.")

    expected, steps = run_on_virtual_time(undisturbed())
    run_on_virtual_time(interrupted())

    assert cut.done["one"] == whole.done["one"]
    assert cut.done["two"] == whole.done["two"]
