"""How refusals are logged."""

import pytest

from gql_app.web.auth.gate import UnknownKeyError
from gql_app.web.auth.jwts import InvalidTokenError
from gql_app.web.auth.refused import RefusedCallers


def test_each_kind_of_refusal_is_logged_once_a_second_with_the_count_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 100.0
    refused = RefusedCallers(lambda: now)

    for _ in range(3):
        refused.note(UnknownKeyError("no such key"))
        refused.note(InvalidTokenError("bad token"))
    now = 101.0
    refused.note(UnknownKeyError("no such key"))

    assert caplog.messages == [
        "A caller was refused: no such key",
        "A caller was refused: bad token",
        "A caller was refused: no such key (2 more since the last line)",
    ]
