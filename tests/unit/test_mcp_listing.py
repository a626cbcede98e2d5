"""What MCP servers say, taken in within limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import types

from gql_app.core.values import Json
from gql_app.mcp.backoff import LONGEST_SECONDS, delay
from gql_app.mcp.codes import TOO_BIG, UNREADABLE
from gql_app.mcp.dialects import as_2020_12
from gql_app.mcp.lines import Lines, LongLine, read_message
from gql_app.mcp.listing import MAXIMUM_TOOLS, Listing, take_in

OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}
PREFIX = "mcp.files."


def told(name: str, schema: Json = OBJECT, output: Json = None, **fields: Json) -> types.Tool:
    return types.Tool(name=name, input_schema=schema, output_schema=output, **fields)


def deep(levels: int) -> Json:
    schema: Json = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_a_tool_is_told_with_its_description_and_its_schemas() -> None:
    listing = take_in(PREFIX, [told("read", output={"type": "object"}, description=" Read a file. ")], Listing())

    definition = listing.tools["mcp.files.read"].definition
    assert (definition.name, definition.description) == ("mcp.files.read", "Read a file.")
    assert (definition.input_schema, definition.output_schema) == (OBJECT, {"type": "object"})
    assert listing.problem() is None


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        (told("a b"), '"a b": its name has other characters'),
        (told("a/b"), '"a/b": its name has other characters'),
        (told("x" * 128), "its name has other characters"),
        (told(""), '"": its name has other characters'),
        (told("good"), '"good": its name comes twice'),
        (told("odd", {"type": "objekt"}), '"odd": the schema of its input is broken at /type'),
        (told("odd", {"type": "object", "properties": 5}), "broken at /properties: Expected object, not 5"),
        (told("odd", OBJECT, {"type": "objekt"}), "the schema of its output is broken"),
        (told("odd", {"$schema": "http://example.com/other"}), "Only the dialect"),
        (told("odd", {"type": "object", "description": "x" * (65 << 10)}), "bytes long; 65536 are allowed"),
        (told("odd", {"type": "object", "x": "y" * (1 << 20)}), "its schemas are 1048"),
        (told("odd", {"allOf": [{} for _ in range(2_001)]}), "more than 2000 objects"),
        (told("odd", deep(240)), "nested too deeply"),
        (told("odd", deep(2_000)), "nested too deeply"),
    ],
)
def test_a_tool_that_cannot_be_used_is_left_out_and_the_others_stay(tool: types.Tool, reason: str) -> None:
    listing = take_in(PREFIX, [told("good"), tool, told("fine")], Listing())

    assert list(listing.tools) == ["mcp.files.good", "mcp.files.fine"]
    problem = listing.problem()
    assert problem is not None
    assert problem.startswith("1 tool is left out: ")
    assert reason in problem


def test_the_number_of_tools_and_the_size_of_their_schemas_have_limits() -> None:
    many = take_in(PREFIX, [told(f"t{number}") for number in range(10_000)], Listing())
    assert len(many.tools) == MAXIMUM_TOOLS
    assert many.problem() is not None
    assert "9000 tools are left out" in str(many.problem())
    assert str(many.problem()).endswith("; and 8997 more.")

    big = {"type": "object", "description": "x" * (60 << 10)}
    heavy = take_in(PREFIX, [told(f"t{number}", big) for number in range(40)], Listing())
    assert len(heavy.tools) == 34
    assert "the schemas of all tools are longer than" in str(heavy.problem())


def test_a_tool_that_has_not_changed_stays_the_same_object() -> None:
    before = take_in(PREFIX, [told("a"), told("b")], Listing())

    after = take_in(PREFIX, [told("a"), told("b", {"type": "object"})], Listing(), before.tools)

    assert after.tools["mcp.files.a"] is before.tools["mcp.files.a"]
    assert after.tools["mcp.files.b"] is not before.tools["mcp.files.b"]


def test_schemas_of_older_drafts_are_written_in_the_newer_one() -> None:
    old = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "pair": {"items": [{"type": "string"}, {"type": "integer"}], "additionalItems": False},
            "items": {"type": "array", "items": {"type": "string"}},
            "chosen": {"enum": [{"items": [1, 2]}]},
        },
        "definitions": {"x": {"type": "string"}},
    }

    assert as_2020_12(old) == {
        "type": "object",
        "properties": {
            "pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
            "items": {"type": "array", "items": {"type": "string"}},
            "chosen": {"enum": [{"items": [1, 2]}]},
        },
        "definitions": {"x": {"type": "string"}},
    }
    assert as_2020_12(OBJECT) is OBJECT


@given(lines=st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), max_size=8), cuts=st.data())
def test_lines_are_the_same_however_they_come_in(lines: list[bytes], cuts: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    reader, position = Lines(1_000), 0
    found: list[bytes] = []
    while position < len(stream):
        size = cuts.draw(st.integers(1, 30))
        found += reader.feed(stream[position : position + size])
        position += size

    assert found == lines


def test_of_a_line_that_is_too_long_only_its_ends_are_kept() -> None:
    reader = Lines(10_000)
    for _ in range(1_000):
        assert list(reader.feed(b"a" * 1_000)) == []

    [line, after] = reader.feed(b"the end\nshort\n")

    assert isinstance(line, LongLine)
    assert len(line) == 800
    assert line.endswith(b"the end")
    assert after == b"short"


@pytest.mark.parametrize(
    ("line", "id"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"x":' + b"1" * 5_000, 7),
        (b'{"id": "seven", "result": {"x":' + b"1" * 5_000, "seven"),
        (b'{"result":{"x":' + b"1" * 5_000 + b'},"jsonrpc":"2.0","id":7}', 7),
        (b'{"result":{"x":' + b"1" * 5_000 + b'},"id":7,"jsonrpc":"2.0"}\r', 7),
        (b'{"result":{"x":' + b"1" * 5_000, None),
        (b"1" * 5_000, None),
    ],
)
def test_an_answer_that_is_too_long_is_an_error_of_the_request_it_answers(line: bytes, id: int | str | None) -> None:
    [kept] = Lines(1_000).feed(line + b"\n")

    message = read_message(kept, 1_000)

    if id is None:
        assert message is None
    else:
        assert message is not None
        assert isinstance(message.message, types.JSONRPCError)
        assert (message.message.id, message.message.error.code) == (id, TOO_BIG)


@pytest.mark.parametrize("rest", [b'"result":', b'"result":{}}garbage', b'"result":5}', b'"result":{"x":NaN}}'])
def test_an_answer_that_cannot_be_read_is_an_error_of_the_request_it_answers(rest: bytes) -> None:
    message = read_message(b'{"jsonrpc":"2.0","id":3,' + rest, 1_000)

    assert message is not None
    assert isinstance(message.message, types.JSONRPCError)
    assert (message.message.id, message.message.error.code) == (3, UNREADABLE)


@given(line=st.binary(max_size=300))
def test_whatever_a_server_writes_is_a_message_or_nothing(line: bytes) -> None:
    read_message(line, 1_000)


def test_an_answer_may_be_nested_deeply() -> None:
    nested = b"[" * 500 + b"]" * 500

    message = read_message(b'{"jsonrpc": "2.0", "id": 1, "result": {"x": ' + nested + b"}}", 10_000)

    assert message is not None
    assert isinstance(message.message, types.JSONRPCResponse)


def test_the_wait_for_a_server_doubles_up_to_a_cap_and_is_spread() -> None:
    assert [delay(failures, 1.0) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert delay(10_000, 1.0) == LONGEST_SECONDS
    assert delay(1, 0.0) == 0.5
