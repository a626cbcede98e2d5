"""Which MCP servers there are, as the settings say."""

import json
from pathlib import Path

import pytest

from gql_app.core.errors import InvalidMcpServersError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Json
from gql_app.mcp.config import ServerConfig, read_servers
from gql_app.settings import Settings
from gql_app.vault.vault import Vault, make_vault

TEAM = Namespace("team")


def vault(**secrets: str) -> Vault:
    return make_vault(Settings(), {f"GQL_APP_SECRET_{name}": value for name, value in secrets.items()})


def read(servers: Json, **secrets: str) -> dict[str, ServerConfig]:
    return dict(read_servers(Settings(mcp_servers=json.dumps(servers)), vault(**secrets)))


def refusal(servers: Json, **secrets: str) -> str:
    with pytest.raises(InvalidMcpServersError) as refused:
        read(servers, **secrets)
    return str(refused.value)


def test_servers_stand_in_a_variable_and_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"servers": {"web": {"url": "https://example.com/mcp"}}}))
    settings = Settings(mcp_file=str(file), mcp_servers='{"files": {"command": "npx", "arguments": ["-y", "x"]}}')

    servers = read_servers(settings, vault())

    assert list(servers) == ["files", "web"]
    assert (servers["files"].command, servers["files"].arguments) == ("npx", ("-y", "x"))
    assert servers["web"].url == "https://example.com/mcp"


def test_without_settings_there_are_none() -> None:
    assert read_servers(Settings(), vault()) == {}


def test_a_server_cannot_stand_in_both_places(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"servers": {"a": {"command": "x"}}}')

    with pytest.raises(InvalidMcpServersError, match=r"server 'a' is in .*mcp\.json and in GQL_APP_MCP_SERVERS"):
        read_servers(Settings(mcp_file=str(file), mcp_servers='{"a": {"command": "x"}}'), vault())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "is not UTF-8"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "names no servers"),
        (b'{"mcpServers": {}}', "names no servers"),
        (b'{"servers": {}, "more": 1}', "`more` is not known"),
        (b'{"servers": {}}' + b" " * (1 << 20), "is longer than"),
    ],
)
def test_a_file_that_names_no_servers_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "mcp.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidMcpServersError, match=message):
        read_servers(Settings(mcp_file=str(file)), vault())


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({}, "give it either a `command` to start, or a `url`."),
        ({"command": "x", "url": "http://x/"}, "give it either a `command` to start, or a `url`."),
        ({"command": "x", "args": []}, "`args` is not known. It takes command, arguments, environment,"),
        ({"command": ""}, "`command`: string should have at least 1 character."),
        ({"command": "x\x00"}, "`command`: string should match pattern"),
        ({"command": "x", "arguments": "y"}, "`arguments`: "),
        ({"command": "x", "environment": {"A": 5}}, "`environment.A`: input should be a valid string."),
        ({"command": "x", "headers": {}}, "`headers` has no meaning beside `command`."),
        ({"url": "http://x/", "environment": {}}, "`environment` has no meaning beside `url`."),
        ({"url": "http://x/", "workingDirectory": "y"}, "`workingDirectory` has no meaning beside `url`."),
        ({"url": "ftp://x/"}, "`url` must be an http:// or https:// address."),
        ({"url": "http://[x/"}, "`url` must be an http:// or https:// address."),
        ({"url": "http://x:99999/"}, "`url` must be an http:// or https:// address."),
        ({"url": "http://user:password@x/"}, "`url` must not hold a password: put it into `headers`, as a secret."),
        ({"url": "http://x/", "headers": {"a b": "c"}}, "`headers.a b"),
        ({"url": "http://x/", "headers": {"a": "c\r\nd: e"}}, "`headers.a`"),
        ({"command": "x", "namespaces": []}, "`namespaces`"),
        (5, "input should be a valid dictionary"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused_by_name(server: Json, message: str) -> None:
    told = refusal({"files": server})

    assert told.startswith("GQL_APP_MCP_SERVERS: server 'files': ")
    assert message in told
    assert "password@" not in told


@pytest.mark.parametrize("name", ["", "a.b", "a b", "ä", "x" * 41])
def test_the_name_of_a_server_is_a_word(name: str) -> None:
    assert "cannot be the name of a server" in refusal({name: {"command": "x"}})


def test_the_number_of_servers_has_a_limit() -> None:
    assert "at most 50 items" in refusal({f"s{number}": {"command": "x"} for number in range(51)})


def test_secrets_are_put_in_as_they_are() -> None:
    servers = read({"web": {"url": "http://x/", "headers": {"A": "Bearer ${ secrets.TOKEN }!"}}}, TOKEN="abcdefgh")
    [(field, name, sealed)] = servers["web"].sealed()
    used: dict[str, str] = {}

    assert (field, name) == ("headers", "A")
    assert sealed.open(vault(TOKEN="abcdefgh"), ("default",), used) == "Bearer abcdefgh!"
    assert used == {"TOKEN": "abcdefgh"}


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"url": "http://x/", "headers": {"A": "${ secrets.OTHER }"}}, "there is no secret `OTHER` for the namespace"),
        ({"url": "http://x/", "headers": {"A": "${ input.x }"}}, "`${ input.x }` is not a secret"),
        ({"url": "http://x/", "headers": {"A": "${ secrets.TOKEN"}}, "has no closing"),
        ({"url": "http://x/${ secrets.TOKEN }"}, "`url`"),
        ({"command": "x", "arguments": ["${ secrets.TOKEN }"]}, "Others can read it there"),
    ],
)
def test_a_secret_that_is_not_there_or_stands_where_others_read_it_is_refused(server: Json, message: str) -> None:
    assert message in refusal({"web": server}, TOKEN="abcdefgh")


def test_a_secret_must_be_for_everybody_who_may_call_the_tools() -> None:
    server = {"url": "http://x/", "headers": {"A": "${ secrets.TOKEN }"}}

    assert "for the namespace 'team', whose" in refusal({"web": {**server, "namespaces": ["team"]}}, TOKEN="abcdefgh")
    assert "for everybody, whose" in refusal({"web": {**server, "namespaces": ["*"]}}, TOKEN="abcdefgh")


@pytest.mark.parametrize(
    ("namespaces", "allowed"),
    [(None, [DEFAULT_NAMESPACE]), (["team"], [TEAM]), (["*"], [DEFAULT_NAMESPACE, TEAM])],
)
def test_a_server_is_for_the_default_namespace_or_for_those_it_names(
    namespaces: list[str] | None, allowed: list[Namespace]
) -> None:
    named = {} if namespaces is None else {"namespaces": namespaces}
    server = read({"a": {"command": "x", **named}})["a"]

    assert [namespace for namespace in (DEFAULT_NAMESPACE, TEAM) if server.is_for(namespace)] == allowed
