"""Runs chains of three steps on DBOS, from as many clients as asked for, and writes how many ended in a second.

It runs in an environment of its own, isolated (`python -I`), and imports nothing of ours.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

# DBOS is in the environment of the benchmark, not in the one that is checked.
from dbos import DBOS  # type: ignore[import-not-found]

address, runs, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
DBOS(config={"name": "bench", "system_database_url": address, "log_level": "ERROR", "sys_db_pool_size": clients})


@DBOS.step()  # type: ignore[untyped-decorator] # see above
def step(value: int) -> int:
    """Do nothing."""
    return value


@DBOS.workflow()  # type: ignore[untyped-decorator] # see above
def chain(value: int) -> int:
    """Do three steps, one after the other."""
    for _ in range(3):
        value = step(value)
    return value


DBOS.launch()
with ThreadPoolExecutor(clients) as threads:
    list(threads.map(chain, range(clients)))
    started = time.perf_counter()
    list(threads.map(chain, range(runs)))
    seconds = time.perf_counter() - started
print(runs / seconds, flush=True)
DBOS.destroy()
