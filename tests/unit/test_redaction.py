"""Secrets in what is shown: in which forms they are found, and that nothing else changes."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.redaction import Redactor
from gql_app.core.values import Json

NASTY = 'pä"ss\\w/o rd+\n😀x%'

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "Python": repr,
    "a URL's path": quote,
    "a URL's query": quote_plus,
    "a URL of httpx": lambda text: str(httpx.URL("http://x/", params={"q": text})),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [NASTY, "correct-horse", "0123456789abcdef", "x" * 8])
def test_a_secret_is_taken_out_in_every_form(form: str, value: str) -> None:
    text = FORMS[form](value)

    hidden = Redactor({"NAME": value}).hide(f"before {text} after")

    left, _, right = hidden.partition("[secret NAME]")
    assert left in {f"before {quotes}" for quotes in ("", "'", '"', '"\\"', "http://x/?q=")}
    assert right in {f"{quotes} after" for quotes in ("", "'", '"', '\\""')}


@given(value=st.text(min_size=8, max_size=40), around=st.binary(max_size=5), after=st.binary(max_size=5))
def test_a_secret_is_taken_out_of_what_is_in_base64(value: str, around: bytes, after: bytes) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        text = encode(around + value.encode() + after).decode()

        assert "[secret NAME]" in Redactor({"NAME": value}).hide(text)


def test_short_values_are_left_and_cost_nothing() -> None:
    redactor = Redactor({"NAME": "1234567"})

    assert not redactor
    assert redactor.hide("1234567") == "1234567"


def test_the_longer_of_two_secrets_goes_first() -> None:
    redactor = Redactor({"A": "password", "B": "password-and-more"})

    assert redactor.hide("password password-and-more") == "[secret A] [secret B]"


def test_json_stays_json() -> None:
    value: Json = {"token-123": ["x token-123 y", 7, None, {"deep": "token-123"}], "[secret T]": True, "n": 1.5}

    hidden = Redactor({"T": "token-123"}).hide_in(value)

    assert hidden == {
        "[secret T]": ["x [secret T] y", 7, None, {"deep": "[secret T]"}],
        "[secret T] (2)": True,
        "n": 1.5,
    }


def test_a_message_that_was_cut_in_the_middle_of_a_secret_shows_nothing_of_it() -> None:
    redactor = Redactor({"T": "abcdefgh-ijklmnop"})

    assert redactor.hide_in_message("bad: abcdefgh-ijk… and abcdefgh") == "bad: [secret T]… and [secret T]"


def test_a_secret_whose_name_is_its_own_beginning_is_taken_out_once() -> None:
    redactor = Redactor({"PASSWORD_1": "PASSWORD_12"})

    assert redactor.hide_in_message("PASSWORD_12 PASSWORD_") == "[secret PASSWORD_1] [secret PASSWORD_1]"


@given(st.lists(st.text(min_size=8, max_size=30), max_size=4), st.text(max_size=200))
def test_a_text_without_secrets_stays_as_it_is(values: list[str], text: str) -> None:
    redactor = Redactor({f"N{number}": value for number, value in enumerate(values)})

    hidden = redactor.hide(text)

    assert "[secret N" in hidden or hidden == text
