"""What all tests share: the event loop's backend and how hard the property tests try."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from gql_app.sandbox.sandbox import Sandbox
from gql_app.settings import Settings
from tests.support.effort import SOAK, effort

# Nothing here depends on the speed of the machine: no deadline, and generation may take its time.
settings.register_profile(
    "gql_app",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=effort(here=40, ci=100, soak=5_000),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("soak", settings.get_profile("gql_app"), derandomize=False)
settings.load_profile("soak" if SOAK else "gql_app")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run tests marked `anyio` on asyncio, the only backend that the product promises."""
    return "asyncio"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One evaluator for all tests that leave its processes alone: starting one takes a moment."""
    made = Sandbox(Settings(expression_seconds=30))
    yield made
    asyncio.run(made.close())
