"""What is shown of big values: bounded, and with the way to the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gql_app.cli.assistant.excerpts import Excerpt, measure, page, preview, select
from gql_app.cli.assistant.failures import AskedWronglyError
from gql_app.core.values import Json

LEAVES = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=200)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=30), inner, max_size=8),
    max_leaves=60,
)
ROOMS = st.integers(300, 2_000)


def shape(value: Json) -> str:
    return type(value).__name__


@given(VALUES, ROOMS)
def test_a_preview_fits_and_what_is_not_cut_is_whole(value: Json, room: int) -> None:
    shown = preview(value, room)

    assert measure(shown.value) <= room
    assert shown.is_whole == (shown.value == value)


@given(VALUES, ROOMS)
def test_every_cut_names_a_place_that_is_there_and_how_big_it_is(value: Json, room: int) -> None:
    for cut in preview(value, room).cut:
        _, part = select(value, cut.pointer)

        assert {"str": "string", "list": "list", "dict": "object"}[shape(part)] == cut.kind
        assert cut.size == len(part)
        assert 0 <= cut.shown < cut.size


@given(st.text(max_size=5_000), ROOMS)
def test_the_pages_of_a_text_make_up_the_text(text: str, room: int) -> None:
    assert "".join(excerpt.value for excerpt in pages(text, room)) == text


@given(st.lists(VALUES, max_size=40), ROOMS)
def test_the_pages_of_a_list_have_every_item_once_and_fit(items: list[Json], room: int) -> None:
    shown = pages(items, room)

    told = [item for excerpt in shown for item in excerpt.value]
    assert len(told) == len(items)
    assert all(measure(excerpt.value) <= room + 3 for excerpt in shown)


def pages(value: Json, room: int) -> list[Excerpt]:
    found = [page(value, "", 0, room)]
    while (offset := found[-1].next_offset) is not UNSET:
        found.append(page(value, "", offset, room))
    return found


def test_the_shape_of_a_big_value_can_be_seen() -> None:
    value = {"title": "x" * 5_000, "rows": [{"n": n} for n in range(1_000)], "found": True}

    shown = preview(value, 600)

    assert shown.value["found"] is True
    assert shown.value["rows"][0] == {"n": 0}
    assert {cut.pointer for cut in shown.cut} == {"/title", "/rows"}


@pytest.mark.parametrize(
    ("pointer", "part"),
    [("", {"a~/b": [1, {"c": None}]}), ("/a~0~1b/1/c", None), ("/a~0~1b/0", 1)],
)
def test_a_pointer_leads_to_a_part(pointer: str, part: Json) -> None:
    assert select({"a~/b": [1, {"c": None}]}, pointer)[1] == part


@pytest.mark.parametrize(
    ("pointer", "told"),
    [
        ("a", "begins with"),
        ("/b", 'the whole output is an object with "a"'),
        ("/a/2", '"/a" is a list of 2 items'),
        ("/a/-1", '"/a" is a list of 2 items'),
        ("/a/0/x", '"/a/0" is 1'),
    ],
)
def test_a_pointer_that_leads_nowhere_is_told_how_far_it_leads(pointer: str, told: str) -> None:
    with pytest.raises(AskedWronglyError) as caught:
        select({"a": [1, 2]}, pointer)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [("abc", "has 3 characters"), ([1, 2], "has 2 items"), ({"a": 1}, "for strings and lists"), (5, "there is 5")],
)
def test_an_offset_beyond_the_end_or_into_something_else_is_refused(value: Json, told: str) -> None:
    with pytest.raises(AskedWronglyError, match=told):
        page(value, "", 7)
