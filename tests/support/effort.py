"""How hard the tests try that could go on for ever: a little here, more in CI, most in `make soak`."""

import os
from typing import Final, TypeVar

T = TypeVar("T")

SOAK: Final = os.environ.get("GQL_APP_SOAK") == "1"
CI: Final = os.environ.get("GQL_APP_REQUIRE_ALL") == "1"


def effort(*, here: T, ci: T, soak: T) -> T:
    """Choose by where the tests run."""
    if SOAK:
        return soak
    return ci if CI else here
