"""JSON Pointers select as RFC 6901 has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.errors import InvalidArgumentError
from gql_app.core.pointers import make_pointer
from gql_app.core.values import Json
from gql_app.schema.pointer import parse_pointer, select

# The document and most of the pointers of section 5 of the RFC.
DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "selected"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_selects_its_part(pointer: str, selected: Json) -> None:
    assert select(DOCUMENT, parse_pointer(pointer)) == selected


@pytest.mark.parametrize(
    "pointer", ["/foo/2", "/foo/-", "/foo/01", "/foo/-1", "/foo/0/0", "/nothing", "/foo/٣", "/foo/99999999999"]
)
def test_a_pointer_that_leads_nowhere_selects_null(pointer: str) -> None:
    assert select(DOCUMENT, parse_pointer(pointer)) is None


@pytest.mark.parametrize("pointer", ["foo", "#/foo", "/~", "/~2", "/foo~"])
def test_what_is_no_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(InvalidArgumentError, match="JSON Pointer"):
        parse_pointer(pointer)


@given(st.lists(st.text()))
def test_a_pointer_that_was_written_is_read_as_the_same_path(path: list[str]) -> None:
    assert list(parse_pointer(make_pointer(path))) == path
