"""Tools of installed packages, by the entry-point group `gql_app.tools`."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gql_app import tool
from gql_app.bootstrap import application, make_registry
from gql_app.cli.main import main
from gql_app.core.errors import InvalidToolError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.ports import Tool
from gql_app.service import HealthStatus
from gql_app.settings import Settings
from gql_app.tools.echo import echo
from gql_app.tools.registry import ToolRegistry
from tests.support.packages import Packages, installed_packages

ONE = '@tool(name="acme.one")\ndef one() -> int:\n    """Count to one."""\n    return 1\n'
TWO = '@tool(name="acme.two")\ndef two() -> int:\n    """Count to two."""\n    return 2\n'


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Packages]:
    with installed_packages(tmp_path) as packages:
        yield packages


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("acme_tools", ["acme.one", "acme.two"]),
        ("acme_tools:one", ["acme.one"]),
        ("acme_tools:some", ["acme.two", "acme.one"]),
        ("acme_tools:give", ["acme.two", "acme.one"]),
        ("acme_tools:give_one", ["acme.one"]),
    ],
)
def test_an_entry_names_a_module_a_tool_some_tools_or_what_gives_them(
    packages: Packages, value: str, names: list[str]
) -> None:
    source = f"{ONE}{TWO}some = [two, one]\ndef give():\n    yield from some\ndef give_one():\n    return one\n"
    packages.install("acme-tools", {"acme": value}, acme_tools=source)

    registry = make_registry(Settings())

    assert [name for name in registry.definitions() if name.startswith("acme.")] == sorted(names)
    assert registry.origin("acme.one") == "the plug-in 'acme' of acme-tools 1.2"
    assert registry.origin("echo") is None
    assert not registry.faults


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("acme_tools:absent", "AttributeError: module 'acme_tools' has no attribute 'absent'"),
        ("failing_tools", "RuntimeError: no licence found"),
        ("leaving_tools", "SystemExit: 3"),
        ("acme_tools:NUMBER", "a int, which is neither a module nor a tool, nor brings tools."),
        ("acme_tools:MIXED", "a str is among its tools: make one of a function with @tool."),
        ("empty_tools", "it brings no tools."),
        ("acme_tools:endless", "it brings more than 1000 tools."),
        ("acme_tools:raises", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_plug_in_is_named_and_the_others_are_there(packages: Packages, value: str, fault: str) -> None:
    source = f"""{ONE}
NUMBER = 5
MIXED = [one, "two"]
def endless():
    while True:
        yield one
def raises():
    1 / 0
"""
    packages.install(
        "broken-tools",
        {"broken": value},
        acme_tools=source,
        empty_tools="",
        failing_tools='raise RuntimeError("no licence found")',
        leaving_tools="raise SystemExit(3)",
    )
    packages.install("good-tools", {"good": "good_tools"}, good_tools=TWO)

    registry = make_registry(Settings())

    assert registry.faults == (f"the plug-in 'broken' of broken-tools 1.2: it names {value}: {fault}",)
    assert "acme.two" in registry.definitions()
    assert "echo" in registry.definitions()


def test_a_plug_in_cannot_take_the_name_of_a_tool_that_is_there(packages: Packages) -> None:
    packages.install("other-echo", {"other": "other_echo"}, other_echo=f'{ONE}@tool\ndef echo():\n    """Lie."""\n')

    registry = make_registry(Settings())

    assert registry.definitions()["echo"].description == "Return the value it is given."
    assert "acme.one" in registry.definitions()
    [fault] = registry.faults
    assert fault.startswith("the plug-in 'other' of other-echo 1.2: There are two tools named 'echo'")


def test_a_module_that_was_asked_for_must_load(packages: Packages) -> None:
    packages.install("acme-tools", {}, acme_tools="1 / 0")

    with pytest.raises(InvalidToolError, match="Cannot load tools from module 'acme_tools': ZeroDivisionError"):
        make_registry(Settings(tools=("acme_tools",)))


@pytest.mark.anyio
async def test_a_broken_plug_in_is_in_the_log_and_in_the_health_and_the_service_works(
    packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    packages.install("broken-tools", {"a": "absent_one", "b": "absent_two"})

    with caplog.at_level(logging.WARNING):
        async with application(Settings()) as opened:
            health = await opened.service.health()

    [check] = [check for check in health.checks if check.name == "tools"]
    assert check.status is HealthStatus.DEGRADED
    assert check.message == (
        "Not all tools could be loaded: the plug-in 'a' of broken-tools 1.2: it names absent_one:"
        " ModuleNotFoundError: No module named 'absent_one', and 1 more, which the log names."
    )
    assert [name in caplog.text for name in ("absent_one", "absent_two")] == [True, True]


def test_the_command_line_says_where_a_tool_comes_from(packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install("acme-tools", {"acme": "acme_tools", "broken": "absent"}, acme_tools=ONE)

    assert main(["tools"]) == 0

    told = capsys.readouterr()
    assert "from the plug-in 'acme' of acme-tools 1.2" in told.out
    assert "Tools could not be loaded: the plug-in 'broken'" in told.err


class Source:
    """Tools that change."""

    prefix = "shop."

    def __init__(self, **tools: Tool) -> None:
        self.brought = tools

    def tools(self) -> Mapping[str, Tool]:
        return {tool.definition.name: tool for tool in self.brought.values()}

    def stand_in(self, name: str) -> Tool | None:
        return echo if name == "shop.expected" else None

    def is_for(self, namespace: Namespace) -> bool:
        return namespace == "team"

    def why_missing(self, name: str) -> str:
        return "The shop is closed."


def test_the_tools_of_a_source_come_change_and_go() -> None:
    @tool(name="shop.buy")
    def buy() -> None: ...

    @tool(name="shop.buy")
    def buy_again() -> None: ...

    registry, source = ToolRegistry([echo]), Source()
    registry.publish(source)
    assert list(registry.definitions()) == ["echo"]

    source.brought = {"buy": buy}
    registry.publish(source)
    assert list(registry.definitions()) == ["echo", "shop.buy"]
    assert registry.find("shop.buy") is buy
    assert registry.definitions() is registry.definitions()

    source.brought = {"buy": buy_again}
    registry.publish(source)
    assert registry.find("shop.buy") is buy_again

    source.brought = {}
    registry.publish(source)
    assert list(registry.definitions()) == ["echo"]
    assert registry.find("shop.buy") is None
    assert registry.find("shop.expected") is echo


def test_the_tools_of_a_source_are_there_only_for_those_who_may_use_them() -> None:
    @tool(name="shop.buy")
    def buy() -> None: ...

    registry = ToolRegistry([echo])
    registry.publish(Source(buy=buy))

    assert list(registry.definitions(Namespace("team"))) == ["echo", "shop.buy"]
    assert list(registry.definitions(DEFAULT_NAMESPACE)) == ["echo"]
    assert registry.why_missing("shop.sell", Namespace("team")) == "The shop is closed."
    assert registry.why_missing("shop.sell", DEFAULT_NAMESPACE) is None
    assert registry.why_missing("ecko", Namespace("team")) is None
