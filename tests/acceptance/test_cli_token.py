"""The commands that talk to a server which asks who comes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gql_app.cli.main import main
from gql_app.settings import Settings
from tests.support.cli import Finished
from tests.support.documents import document
from tests.support.server import RunningServer, live_server
from tests.support.tokens import add_key

GqlApp = Callable[..., Finished]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "keys.json"


@pytest.fixture(scope="module")
def server(keys: Path) -> Iterator[RunningServer]:
    with live_server(Settings(shutdown_grace_seconds=0, keys_file=str(keys))) as running:
        yield running


@pytest.fixture(scope="module")
def token(keys: Path) -> str:
    return add_key(keys)


@pytest.fixture
def gql_app(server: RunningServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> GqlApp:
    monkeypatch.delenv("GQL_APP_TOKEN", raising=False)

    def carry_out(*arguments: str) -> Finished:
        code = main([*arguments, "--url", server.url])
        return Finished(code, *capsys.readouterr())

    return carry_out


def test_a_token_is_given_as_an_option_or_by_the_environment(
    gql_app: GqlApp, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "test.json"
    file.write_text(json.dumps(document()), encoding="utf-8")
    submitted = gql_app("submit", str(file), "--watch", "--token", token)
    monkeypatch.setenv("GQL_APP_TOKEN", token)
    [listed] = gql_app("list", "--json").output

    assert submitted.output == {"greet": "hello"}
    for command in (["show", listed["id"]], ["watch", listed["id"]], ["retry", listed["id"], "--from", "START"]):
        assert gql_app(*command).code == 0
    assert gql_app("validate", str(file)).code == 0
    assert gql_app("tools").code == 0
    assert gql_app("cancel", listed["id"]).code == 1


@pytest.mark.parametrize("command", ["list", "tools", "show x", "watch x", "cancel x", "retry x"])
@pytest.mark.parametrize("wrong", [[], ["--token", "wrong-token"]], ids=["none", "wrong"])
def test_without_a_good_token_every_command_says_where_one_is_given(
    gql_app: GqlApp, command: str, wrong: list[str]
) -> None:
    refused = gql_app(*command.split(), *wrong)

    assert refused.code == 1
    assert "--token" in refused.err
    assert "wrong-token" not in refused.err


def test_a_token_that_cannot_be_one_is_refused(gql_app: GqlApp) -> None:
    refused = gql_app("list", "--token", "two words")

    assert refused.code == 2
    assert "--token" in refused.err


def test_no_help_tells_the_token_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GQL_APP_TOKEN", "secret-token")

    assert main(["list", "--help"]) == 0

    assert "secret-token" not in capsys.readouterr().out
