"""What the contract tests share: every store there is."""

import pytest

from tests.support.repositories import REPOSITORIES, OpenRepository


@pytest.fixture(scope="session", params=REPOSITORIES)
def open_repository(request: pytest.FixtureRequest) -> OpenRepository:
    """Open an empty store of each kind in turn."""
    opened: OpenRepository = REPOSITORIES[request.param]
    return opened
