"""Thousands of simulations of the whole service: whatever happens, it keeps its promises.

`GQL_APP_SIMULATION_SEEDS` says how many, `GQL_APP_SIMULATION_FIRST` which seed is the first.
"""

import os
import subprocess
import sys

import pytest

from gql_app.engine.elected import ElectedExecutor
from tests.support.effort import effort
from tests.support.requirements import REPOSITORY
from tests.support.simulation import SimulationError, simulate

pytestmark = pytest.mark.simulation

SEEDS = int(os.environ.get("GQL_APP_SIMULATION_SEEDS") or effort(here=200, ci=3_000, soak=20_000))
FIRST = int(os.environ.get("GQL_APP_SIMULATION_FIRST", "0"))
CHUNKS = 20
TELL_HISTORY = "from tests.support.simulation import simulate; print(*simulate({seed}), sep='\\n')"


def simulate_all(seeds: range) -> None:
    for seed in seeds:
        simulate(seed)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_happens_every_promise_is_kept(chunk: int) -> None:
    simulate_all(range(FIRST + chunk, FIRST + SEEDS, CHUNKS))


@pytest.mark.parametrize("seed", [3, 12, 46])
def test_a_seed_gives_the_same_history_in_every_process(seed: int) -> None:
    here = simulate(seed)

    elsewhere = subprocess.run(
        [sys.executable, "-c", TELL_HISTORY.format(seed=seed)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()

    assert len(here) > 20
    assert simulate(seed) == here
    assert elsewhere == here


def test_a_promise_that_is_broken_is_found_and_told_with_its_seed_and_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Runs whose submission was stored, but not answered, are never started.
    monkeypatch.setattr(ElectedExecutor, "look_again", lambda executor: None)

    with pytest.raises(SimulationError, match="not everything has ended") as broken:
        simulate_all(range(200))

    assert f"Seed {broken.value.seed}:" in str(broken.value)
    assert "leads in epoch 1" in str(broken.value)
