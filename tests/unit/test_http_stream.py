"""Streams taken apart: the same however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_app.tools.http_stream import StreamFormat, units_of

PARTS = st.sampled_from(["\n", "\r", "\r\n", "data", ":", " ", "x", "ü", "event: e", "\ufeff", "data: y"])


def apart(kind: StreamFormat, *pieces: str) -> list[str]:
    units = units_of(kind)
    found = [unit for piece in pieces for unit in units.split(piece)]
    return [*found, *units.end()]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\n", ["a\n", "b\n"]),
        ("a\r\nb\rc", ["a\n", "b\n", "c"]),
        ("\n\n", ["\n", "\n"]),
        ("a\u2028b\x0bc\n", ["a\u2028b\x0bc\n"]),
        ("", []),
    ],
)
def test_lines_end_as_they_do_in_any_system(text: str, lines: list[str]) -> None:
    assert apart(StreamFormat.LINES, text) == lines


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: a\n\ndata:b\n\n", ["a\n", "b\n"]),
        ("data: a\ndata:  b\ndata\n\n", ["a\n b\n\n"]),
        (": comment\nevent: x\nid: 1\nretry: 5\ndata: a\n\n", ["a\n"]),
        ("event: x\n\n\n\n", []),
        ("\ufeffdata: a\r\n\r\ndata: b\r\rdata: \ufeffc\n\n", ["a\n", "b\n", "\ufeffc\n"]),
        ("data: cut off\n", []),
        ("dataa: no\nDATA: no\n\n", []),
    ],
)
def test_events_are_their_data(text: str, events: list[str]) -> None:
    assert apart(StreamFormat.SSE, text) == events


@given(st.sampled_from([StreamFormat.LINES, StreamFormat.SSE]), st.lists(PARTS), st.lists(PARTS))
def test_it_makes_no_difference_where_a_stream_is_cut(kind: StreamFormat, before: list[str], after: list[str]) -> None:
    text = "".join(before + after)

    assert apart(kind, "".join(before), "".join(after)) == apart(kind, text) == apart(kind, *text)
