"""What can be written on the command line."""

import pytest

from gql_app.cli.arguments import make_parser, parse
from gql_app.cli.main import main
from gql_app.cli.options import DEFAULT_URL

COMMANDS = ["run", "validate", "serve", "submit", "watch", "list", "show", "cancel", "retry", "tools", "schema"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "f.json", "--tools", "a", "b"],
        ["run", "--tools", "a", "b", "f.json"],
        ["run", "--tools", "a", "--tools", "b", "f.json"],
        ["run", "--tools", "a", "--input", "1", "f.json", "--tools", "b"],
    ],
)
def test_tools_and_the_document_may_stand_in_any_order(arguments: list[str]) -> None:
    options = parse(arguments)

    assert (options.file, options.tools) == ("f.json", ["a", "b"])


@pytest.mark.parametrize(
    ("arguments", "directory"),
    [
        (["export"], "schema"),
        (["export", "--check"], "schema"),
        (["export", "--check", "published"], "published"),
        (["export", "published", "--check"], "published"),
        (["--check", "export", "published"], "published"),
    ],
)
def test_the_directory_of_the_schema_may_stand_before_or_behind_the_option(
    arguments: list[str], directory: str
) -> None:
    options = parse(["schema", *arguments])

    assert (options.directory, options.check) == (directory, "--check" in arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["schema", "export", "--check", "a", "b"],
        ["schema", "export", "--chek"],
        ["show", "id", "more"],
        ["nope"],
        ["run"],
        ["run", "--tools", "a"],
        ["watch"],
        ["watch", "id", "--after", "-1"],
        ["watch", "id", "--after", "x"],
        ["list", "--first", "0"],
        ["list", "--status", "nope"],
        ["serve", "--port", "x"],
        ["retry", "id", "--from", "middle"],
        ["validate", "f.json", "--url", "u", "--tools", "a"],
        ["run", "f.json", "--inp", "1"],
    ],
)
def test_wrong_arguments_are_refused_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(arguments)

    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert captured.err.startswith("usage: gql-app")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([command, "--help"])

    told = capsys.readouterr().out
    assert code == 0
    assert f"usage: gql-app {command}" in told
    assert f"  gql-app {command}" in told.partition("examples:")[2]


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])

    told = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name} " not in told] == []


def test_the_environment_says_where_the_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GQL_APP_URL", raising=False)
    by_default = make_parser().parse_args(["list"]).url

    monkeypatch.setenv("GQL_APP_URL", "http://127.0.0.1:9")

    assert by_default == DEFAULT_URL
    assert make_parser().parse_args(["list"]).url == "http://127.0.0.1:9"
    assert make_parser().parse_args(["list", "--url", "http://127.0.0.1:8"]).url == "http://127.0.0.1:8"
