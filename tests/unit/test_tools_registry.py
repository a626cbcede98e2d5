"""Where tools are found: by name, and in modules."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from jsonschema import Draft202012Validator

from gql_app import tool
from gql_app.core.errors import InvalidInputError, InvalidToolError
from gql_app.core.json_schema import Schema, explain
from gql_app.core.values import Json
from gql_app.tools.echo import echo
from gql_app.tools.registry import ToolRegistry, load_tools
from tests.support.tools import greet, tools_that_ship

Write: TypeAlias = Callable[[str, str], None]


def test_tools_are_found_by_name() -> None:
    registry = ToolRegistry([greet, echo])

    assert registry.find("echo") is echo
    assert registry.find("nope") is None


def test_definitions_are_sorted_and_computed_once() -> None:
    registry = ToolRegistry([greet, echo])

    assert list(registry.definitions()) == ["echo", "greet"]
    assert registry.definitions() is registry.definitions()
    assert registry.definitions()["echo"] is echo.definition


def test_two_tools_of_one_name_are_refused() -> None:
    @tool(name="echo")
    def other() -> None: ...

    with pytest.raises(InvalidToolError, match=r"two tools named 'echo': <tool 'echo' of gql_app\.tools\.echo\.echo>"):
        ToolRegistry([echo, other])


def test_one_tool_may_come_twice() -> None:
    assert list(ToolRegistry([echo, echo]).definitions()) == ["echo"]


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(InvalidToolError, match="<built-in function len> is not a tool"):
        ToolRegistry([len])  # type: ignore[list-item] # what an untyped program might do


def test_every_tool_that_ships_describes_itself_and_all_its_fields() -> None:
    definitions = ToolRegistry(tools_that_ship()).definitions()

    assert list(definitions) == ["delay", "echo", "fail", "http.request", "text.template", "value.transform"]
    for definition in definitions.values():
        assert definition.description.endswith(".")
        assert definition.input_schema["properties"]
        for field in definition.input_schema["properties"].values():
            assert field["description"].endswith(".")


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules into the current directory, which is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(f"from gql_app import tool\n{source}")

    yield write

    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_tools_are_loaded_from_modules_in_the_current_directory(write_module: Write) -> None:
    write_module("first_tools", "@tool\ndef one() -> int:\n    return 1\n\nuno = one\n")
    write_module("second_tools", "from first_tools import one\n@tool\ndef two() -> int:\n    return 2\n")

    loaded = load_tools(["first_tools", "second_tools"])

    assert [found.definition.name for found in loaded] == ["one", "two"]


def test_nothing_but_tools_is_touched_in_a_module(write_module: Write) -> None:
    write_module(
        "odd_tools",
        "class Odd:\n    def __getattr__(self, name):\n        raise RuntimeError(name)\n"
        "odd = Odd()\nTool = type(tool(lambda: None)) if False else int\n@tool\ndef one() -> int:\n    return 1\n",
    )

    assert [found.definition.name for found in load_tools(["odd_tools"])] == ["one"]


def test_a_module_without_tools_is_refused_with_the_way_out(write_module: Write) -> None:
    write_module("empty_tools", "")

    with pytest.raises(InvalidToolError, match="Module 'empty_tools' has no tools: put @tool above a function"):
        load_tools(["empty_tools"])


def test_a_module_that_is_not_there_is_told_with_where_it_was_looked_for(write_module: Write, tmp_path: Path) -> None:
    with pytest.raises(InvalidToolError) as caught:
        load_tools(["absent_tools"])

    assert "There is no module 'absent_tools'" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import absent_library", "ModuleNotFoundError: No module named 'absent_library'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("@tool\ndef bad(*values): ...", "Tool 'bad': its parameter '*values'"),
    ],
)
def test_a_module_that_fails_is_named_with_the_cause(write_module: Write, source: str, reason: str) -> None:
    write_module("broken_tools", source)

    with pytest.raises(InvalidToolError) as caught:
        load_tools(["broken_tools"])

    assert "Cannot load tools from module 'broken_tools': " in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["my_tools.py", "./my_tools", "", "a..b", ".tools"])
def test_a_path_is_not_the_name_of_a_module(name: str) -> None:
    with pytest.raises(InvalidToolError, match=r"write `my_tools` for my_tools\.py"):
        load_tools([name])


def test_the_schemas_of_every_tool_that_ships_are_json_schema() -> None:
    for definition in ToolRegistry(tools_that_ship()).definitions().values():
        Draft202012Validator.check_schema(definition.input_schema)
        Draft202012Validator.check_schema(definition.output_schema)


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("http.request", {"url": "http://h", "json": 1}, True),
        ("http.request", {"url": "http://h", "json": 1, "text": "x"}, False),
        ("http.request", {"url": "http://h", "headers": {f"x{count}": "" for count in range(101)}}, False),
        ("http.request", {"url": 5}, False),
        ("http.request", {"url": "http://h", "select": "/a~1b"}, True),
        ("http.request", {"url": "http://h", "select": "a"}, False),
        ("http.request", {"url": "http://h", "auth": {"bearer": "x"}}, True),
        ("http.request", {"url": "http://h", "auth": {}}, False),
        ("http.request", {"url": "http://h", "pages": {"cursor": "/c", "parameter": "p"}}, True),
        ("http.request", {"url": "http://h", "pages": {"cursor": "/c"}}, False),
        ("http.request", {"url": "http://h", "pages": {"link": "next", "stream": "text"}}, False),
        ("http.request", {"url": "http://h", "stream": "sse", "select": "/a"}, True),
        ("http.request", {"url": "http://h", "form": {"a": [1, "b"]}, "files": [{"name": "f", "base64": ""}]}, True),
        ("http.request", {"url": "http://h", "files": [{"name": "f"}]}, False),
        ("delay", {"seconds": 86_401}, False),
        ("delay", {"second": 1}, False),
        ("fail", {"retryAfterSeconds": 1, "mode": "hang"}, True),
        ("fail", {"mode": "explode"}, False),
        ("text.template", {"template": "x", "values": None}, True),
        ("text.template", {"values": {}}, False),
        ("value.transform", {"expression": ""}, False),
    ],
)
def test_the_schema_and_the_check_before_the_call_agree(name: str, value: Json, fits: bool) -> None:
    found = ToolRegistry(tools_that_ship()).find(name)
    assert found is not None

    by_schema = Draft202012Validator(found.definition.input_schema).is_valid(value)
    try:
        found.parse(value)
    except InvalidInputError:
        by_check = False
    else:
        by_check = True

    assert (by_schema, by_check) == (fits, fits)


def test_a_schema_says_in_its_own_words_what_excludes_each_other() -> None:
    found = ToolRegistry(tools_that_ship()).find("http.request")
    assert found is not None
    schema = Schema(found.definition.input_schema)

    (error,) = schema.errors({"url": "http://h", "stream": "text", "pages": {"link": "next"}})

    assert explain(error) == "`stream` and `pages` exclude each other: pages are read as a whole."
