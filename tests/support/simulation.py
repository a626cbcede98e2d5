"""A simulation of the whole service on virtual time: processes, a store, clients and misfortune, all from a seed."""

import asyncio
import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from random import Random

from gql_app.core.named_limits import NamedLimit
from gql_app.core.spec import RateLimit
from gql_app.settings import Settings
from tests.support.simulation_calls import Calls
from tests.support.simulation_checks import check_logs, check_rest, check_watched
from tests.support.simulation_clients import EVERYTHING, Clients
from tests.support.simulation_loop import SeededLoop
from tests.support.simulation_process import Process
from tests.support.simulation_store import Database, Odds

LONGEST = 2_000.0
"""Seconds of virtual time in which everything ends once the misfortune stops."""
SETTINGS = Settings(
    stop_grace_seconds=1.0,
    shutdown_grace_seconds=1.0,
    limits={
        "few": NamedLimit(maximum_concurrency=1),
        "slow": NamedLimit(maximum_concurrency=2, rate_limit=RateLimit(count=4, per_seconds=1.0)),
    },
)
SHOWN_LINES = 200


class SimulationError(AssertionError):
    """A promise was broken; the message tells the seed and what had happened."""

    def __init__(self, seed: int, faults: Sequence[str], history: Sequence[str]) -> None:
        lines = "\n".join(history[-SHOWN_LINES:])
        super().__init__(f"Seed {seed}: {'; '.join(faults[:5])}\n{lines}")
        self.seed = seed


@dataclass(frozen=True)
class Misfortune:
    """What may happen in a simulation, each kind in some of them."""

    crashes: bool
    restarts: bool
    stolen_leases: bool
    outages: bool
    cut_off: bool
    odds: Odds
    processes: int
    runs: int
    seconds: float

    @classmethod
    def draw(cls, random: Random) -> "Misfortune":
        """Choose the kinds: what hides behind one is found in simulations without it."""

        def perhaps() -> bool:
            return random.random() < 0.5

        return cls(
            crashes=perhaps(),
            restarts=perhaps(),
            stolen_leases=perhaps(),
            outages=perhaps(),
            cut_off=perhaps(),
            odds=Odds(
                delay=random.choice([0.0, 0.3, 0.9]),
                longest_delay=random.choice([0.01, 0.5]),
                failure=random.choice([0.0, 0.0, 0.05, 0.2]),
                lost_answer=random.choice([0.0, 0.0, 0.05, 0.2]),
            ),
            processes=random.choice([1, 1, 2]),
            runs=random.randint(1, 5),
            seconds=random.choice([5.0, 15.0]),
        )


class Simulation:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.misfortune = Misfortune.draw(self._random)
        active = self._random.choice([2, 10])
        self.database = Database(
            Random(self._random.random()),
            SETTINGS.model_copy(
                update={
                    "maximum_attempts_in_flight": self._random.choice([2, 8]),
                    "maximum_active_runs": active,
                    "maximum_active_runs_per_namespace": self._random.choice([1, active]),
                    "store_patience_seconds": self._random.choice([0.0, 2.0, 60.0]),
                }
            ),
        )
        self.calls = Calls(self.database)
        self.faults: list[str] = []
        self._processes: dict[int, Process] = {}
        self._lives = count(1)
        self._past: list[Process] = []
        self.clients = Clients(Random(self._random.random()), self.database, self._any)

    async def run(self) -> None:
        """Let everything happen, then let it come to rest, and see what became of the promises."""
        for place in range(self.misfortune.processes):
            await self._start(place)
        self.clients.submit(self.misfortune.runs)
        self.database.odds = self.misfortune.odds
        await self._misfortunes()
        self._calm_down()
        try:
            async with asyncio.timeout(LONGEST):
                await self.clients.finished()
                for namespace, run_id in await self.database.runs.unfinished():
                    await self.database.runs.wait(namespace, run_id, after=EVERYTHING)
        except TimeoutError:
            self.faults.append(f"not everything has ended: {await self.database.runs.unfinished()}")
        self.faults += await check_logs(self.database, self.clients, self.calls)
        self.faults += await check_watched(self.database, self.clients)
        await self._end()

    def _any(self) -> Process:
        return self._random.choice(list(self._processes.values()))

    async def _start(self, place: int) -> None:
        life = Process(f"p{place}.{next(self._lives)}", self.database, self.calls, Random(self._random.random()))
        self._processes[place] = life
        self._past.append(life)
        await life.open()

    async def _misfortunes(self) -> None:
        kinds = [
            act
            for act, happens in (
                (self._crash, self.misfortune.crashes),
                (self._restart, self.misfortune.restarts),
                (self._steal, self.misfortune.stolen_leases),
                (self._outage, self.misfortune.outages),
                (self._cut_off, self.misfortune.cut_off),
            )
            if happens
        ]
        loop = asyncio.get_running_loop()
        while loop.time() < self.misfortune.seconds:
            await asyncio.sleep(self._random.expovariate(0.5))
            if kinds:
                await self._random.choice(kinds)()

    async def _crash(self) -> None:
        place = self._random.choice(list(self._processes))
        process = self._processes[place]
        await process.kill()
        await asyncio.sleep(self._random.choice([0.0, self._random.random() * 5]))
        lease = self.database.holder
        if lease is not None and lease.name == process.name:
            self.database.revoke()
        await self._start(place)

    async def _restart(self) -> None:
        place = self._random.choice(list(self._processes))
        await self._processes[place].close()
        await self._processes[place].kill()
        await self._start(place)

    async def _steal(self) -> None:
        lease = self.database.revoke()
        if lease is not None:
            self.database.note(f"{lease.name} loses epoch {lease.epoch}")
            asyncio.get_running_loop().call_later(self._random.choice([0.0, 4.0]) * self._random.random(), lease.lose)

    async def _outage(self) -> None:
        self.database.note("the store is down")
        self.database.down = True
        await asyncio.sleep(self._random.choice([0.1, 1.0, 8.0]))
        self.database.down = False
        self.database.note("the store is up")

    async def _cut_off(self) -> None:
        process = self._any()
        self.database.note(f"{process.name} is cut off")
        process.connection.away = True
        await asyncio.sleep(self._random.random() * 3)
        process.connection.away = False
        self.database.note(f"{process.name} is connected")

    def _calm_down(self) -> None:
        self.database.note("calm")
        self.database.odds = Odds()
        self.clients.calm_at = asyncio.get_running_loop().time()

    async def _end(self) -> None:
        await self.clients.gone()
        await asyncio.sleep(10.0)
        for process in self._processes.values():
            self.faults += check_rest(process)
            await process.close()
            await process.kill()
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        self.faults += [f"a task is left: {task!r}" for task in left]
        self.faults += self.calls.faults


def simulate(seed: int) -> list[str]:
    """Simulate, and tell the history. Raises `SimulationError` for a promise that was broken."""
    gc.freeze()  # What is there already is no business of the collection below.
    loop = SeededLoop(seed)
    simulation = Simulation(seed)
    faults = simulation.faults
    with asyncio.Runner(loop_factory=lambda: loop) as runner, _errors() as errors:
        try:
            runner.run(simulation.run())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the seed
            faults.append(f"{error!r}")
    history = simulation.database.history
    loop.forget()
    del simulation
    gc.collect()
    faults += loop.complaints
    faults += errors
    if faults:
        raise SimulationError(seed, faults, history)
    return history


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self._formatter.format(record))


@contextmanager
def _errors() -> Iterator[list[str]]:
    """Gather what is logged as an error: in a simulation nothing is."""
    handler, logger = _Errors(), logging.getLogger("gql_app")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler.texts
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
