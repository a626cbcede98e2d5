"""Where a token is looked for, and what is taken for one."""

import pytest
from starlette.requests import HTTPConnection

from gql_app.core.values import Json
from gql_app.web.auth.bearer import MAXIMUM_TOKEN, MalformedTokenError, find_token


def connection(*values: str) -> HTTPConnection:
    headers = [(b"authorization", value.encode("latin-1")) for value in values]
    return HTTPConnection({"type": "http", "headers": headers})


@pytest.mark.parametrize("value", ["Bearer abc.d-e_f~+/==", "bearer abc.d-e_f~+/==", "BEARER   abc.d-e_f~+/== "])
def test_the_header_brings_a_token(value: str) -> None:
    assert find_token(connection(value), None) == "abc.d-e_f~+/=="


@pytest.mark.parametrize(
    "payload", [{"authorization": "Bearer abc"}, {"Authorization": "Bearer abc"}, {"token": "abc"}]
)
def test_the_payload_of_a_websocket_brings_a_token(payload: Json) -> None:
    assert find_token(connection(), payload) == "abc"


@pytest.mark.parametrize("payload", [None, {}, {"token": None}, {"authorization": None, "headers": {"x": 1}}])
def test_there_may_be_no_token(payload: Json) -> None:
    assert find_token(connection(), payload) is None


def test_the_same_token_may_stand_in_both() -> None:
    assert find_token(connection("Bearer abc"), {"token": "abc", "authorization": "bearer abc"}) == "abc"


@pytest.mark.parametrize(
    ("values", "payload"),
    [
        (["Bearer abc"], {"token": "other"}),
        ([], {"token": "abc", "authorization": "Bearer other"}),
        (["Bearer abc", "Bearer abc"], None),
    ],
)
def test_more_than_one_token_is_refused(values: list[str], payload: Json) -> None:
    with pytest.raises(MalformedTokenError):
        find_token(connection(*values), payload)


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Bearer a b", "Basic secret", "secret", "Bearer sécret", "Bearer a,b", "Bearer\tsecret"],
)
def test_what_is_no_bearer_token_is_refused_and_not_told(value: str) -> None:
    with pytest.raises(MalformedTokenError, match="write `Bearer` and the token") as refused:
        find_token(connection(value), None)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("value", [1, True, ["abc"], {"a": 1}, "a b", "", "ü", "a" * (MAXIMUM_TOKEN + 1)])
def test_a_member_that_is_no_token_is_refused(value: Json) -> None:
    with pytest.raises(MalformedTokenError, match="'token'"):
        find_token(connection(), {"token": value})
