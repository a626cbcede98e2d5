"""Which MCP servers there are: read from the settings and checked, before anything is started."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gql_app.core.errors import InvalidMcpServersError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Frozen, Json
from gql_app.mcp.sealed import EVERYBODY, SealedText, seal
from gql_app.ports import Secrets
from gql_app.settings import Settings

MAXIMUM_SERVERS: Final = 50
MAXIMUM_FILE_BYTES: Final = 1 << 20

_VARIABLE: Final = "GQL_APP_MCP_SERVERS"
_NAME: Final = r"^[A-Za-z0-9_-]{1,40}$"
_ONLY_COMMAND: Final = ("arguments", "environment", "working_directory")
_EXAMPLE: Final = '{"files": {"command": "npx", "arguments": ["-y", "…"]}, "search": {"url": "https://…"}}'

ServerName = Annotated[str, Field(pattern=_NAME)]
Text = Annotated[str, Field(min_length=1, max_length=4_096, pattern=r"^[^\x00]*$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
VariableValue = Annotated[str, Field(max_length=32_768, pattern=r"^[^\x00]*$")]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")]
HeaderValue = Annotated[str, Field(min_length=1, max_length=8_192, pattern=r"^[\x20-\x7e]*$")]


class ServerConfig(Frozen):
    """One server: a program that is started, or the address of one that runs. Secrets may stand in what is secret."""

    command: Text | None = None
    arguments: Annotated[
        tuple[Annotated[str, Field(max_length=32_768)], ...], Field(strict=False, max_length=1_000)
    ] = ()
    environment: Annotated[dict[VariableName, VariableValue], Field(max_length=500)] = Field(default_factory=dict)
    working_directory: Text | None = None
    url: Text | None = None
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=100)] = Field(default_factory=dict)
    namespaces: Annotated[tuple[Text, ...], Field(strict=False, min_length=1, max_length=1_000)] = (DEFAULT_NAMESPACE,)
    """Whose documents may call the tools; `*` is everybody's."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise PydanticCustomError("either", "give it either a `command` to start, or a `url`")
        if self.url is not None:
            _check_url(self.url)
        for field in _ONLY_COMMAND if self.command is None else ("headers",):
            if field in self.model_fields_set:
                name = type(self).model_fields[field].alias
                kind = "url" if self.command is None else "command"
                raise PydanticCustomError(
                    "misplaced", "`{name}` has no meaning beside `{kind}`", {"name": name, "kind": kind}
                )
        return self

    @property
    def shared(self) -> bool:
        """Whether the documents of several namespaces may call the tools."""
        return len(self.namespaces) > 1 or EVERYBODY in self.namespaces

    def is_for(self, namespace: Namespace) -> bool:
        """Tell whether the documents of a namespace may call the tools."""
        return EVERYBODY in self.namespaces or namespace in self.namespaces

    def sealed(self) -> Iterator[tuple[str, str, SealedText]]:
        """Tell what may hold secrets: the field, the name there, and the text. Raises `ValueError`."""
        for field, texts in (("environment", self.environment), ("headers", self.headers)):
            for name, text in texts.items():
                yield field, name, seal(text)


class _File(Frozen):
    servers: Annotated[dict[ServerName, ServerConfig], Field(max_length=MAXIMUM_SERVERS)]


def read_servers(settings: Settings, secrets: Secrets) -> Mapping[str, ServerConfig]:
    """Read the servers of the settings and of the file they name, sorted by name. Raises `InvalidMcpServersError`."""
    found: dict[str, ServerConfig] = {}
    if settings.mcp_file:
        where, example = settings.mcp_file, f'{{"servers": {_EXAMPLE}}}'
        found.update(_check(_parse(_read(Path(where)), where, example), where, example))
    if settings.mcp_servers:
        more = _check({"servers": _parse(settings.mcp_servers, _VARIABLE, _EXAMPLE)}, _VARIABLE, _EXAMPLE)
        twice = sorted(found.keys() & more.keys())
        if twice:
            raise InvalidMcpServersError(f"The MCP server {twice[0]!r} is in {settings.mcp_file} and in {_VARIABLE}.")
        found.update(more)
    for name, config in found.items():
        _check_secrets(name, config, secrets)
    return dict(sorted(found.items()))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_FILE_BYTES + 1)
        if len(data) > MAXIMUM_FILE_BYTES:
            raise InvalidMcpServersError(f"{path} is longer than {MAXIMUM_FILE_BYTES} bytes.")
        return data.decode()
    except OSError as error:
        raise InvalidMcpServersError(
            f"{path} cannot be read: {error.strerror}. It should name the MCP servers."
        ) from None
    except UnicodeDecodeError:
        raise InvalidMcpServersError(f"{path} is not UTF-8.") from None


def _parse(text: str, where: str, example: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMcpServersError(f"{where} is not JSON ({error}). Write {example}") from None


def _check(value: Json, where: str, example: str) -> Mapping[str, ServerConfig]:
    if not isinstance(value, dict) or not isinstance(value.get("servers"), dict):
        raise InvalidMcpServersError(f"{where} names no servers. Write {example}")
    try:
        return _File.model_validate(value).servers
    except ValidationError as error:
        # Its values may be secret: the message shows none.
        problem = error.errors(include_url=False, include_input=False)[0]
        raise InvalidMcpServersError(f"{where}: {_describe(problem['type'], problem['loc'], problem['msg'])}") from None


def _describe(kind: str, location: tuple[int | str, ...], message: str) -> str:
    steps = [str(step) for step in location if step != "[key]"]
    if "[key]" in location and len(steps) == 2:
        return f"{steps[1][:80]!r} cannot be the name of a server: use up to 40 letters, digits, `_` and `-`."
    server = f"server {steps[1][:80]!r}" if len(steps) > 1 else "servers"
    field = ".".join(steps[2:])[:200]
    if kind == "extra_forbidden":
        known = ", ".join(str(field.alias) for field in ServerConfig.model_fields.values())
        return f"{server}: `{field}` is not known. It takes {known}." if field else f"`{steps[0]}` is not known."
    return f"{server}: {f'`{field}`: ' if field else ''}{message[0].lower()}{message[1:].rstrip('.')}."


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, whole = urlsplit(""), False
    if not whole or not url.isprintable() or " " in url:
        raise PydanticCustomError("url", "`url` must be an http:// or https:// address")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("url", "`url` must not hold a password: put it into `headers`, as a secret")


def _check_secrets(name: str, config: ServerConfig, secrets: Secrets) -> None:
    """Refuse placeholders of what is no secret, or not one for everybody who may call the server's tools."""
    for field, text in (("arguments", " ".join(config.arguments)), ("url", config.url or "")):
        if "${" in text:
            hint = "Others can read it there: put secrets into `environment` or `headers`."
            raise InvalidMcpServersError(f"MCP server {name!r}: `{field}` holds a `${{ … }}`. {hint}")
    try:
        for field, key, sealed in config.sealed():
            for secret in sealed.names:
                for namespace in config.namespaces:
                    if secrets.value(Namespace(namespace), secret) is None:
                        whose = "everybody" if namespace == EVERYBODY else f"the namespace {namespace!r}"
                        raise InvalidMcpServersError(
                            f"MCP server {name!r}, `{field}.{key}`: there is no secret `{secret}` for {whose}, whose"
                            " documents may call the server's tools."
                        )
    except ValueError as error:
        raise InvalidMcpServersError(f"MCP server {name!r}: {error}") from None
