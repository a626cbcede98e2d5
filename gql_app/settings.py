"""What can be set, by arguments or `GQL_APP_…` environment variables."""

import json
import re
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gql_app.core.named_limits import LimitName, NamedLimit

_HOST_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def _split(value: object) -> object:
    """Read a list as one writes it in an environment variable: with commas."""
    return [word for part in value.split(",") if (word := part.strip())] if isinstance(value, str) else value


def _check_origin(text: str) -> str:
    if _ORIGIN.fullmatch(text.lower()) is None:
        raise PydanticCustomError("origin", "not an origin: write scheme, host and port, like http://localhost:5173")
    return text.lower()


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], NoDecode, BeforeValidator(_split)]


def _check_network(text: str) -> str:
    """Take a network, or the name of a host."""
    try:
        ip_network(text)
    except ValueError:
        if _HOST_NAME.fullmatch(text.lower()) is None:
            message = "neither a network nor the name of a host: write 10.1.0.0/16, 10.1.2.3 or internal.example"
            raise PydanticCustomError("network", message) from None
    return text.lower()


Networks = Annotated[tuple[Annotated[str, AfterValidator(_check_network)], ...], NoDecode, BeforeValidator(_split)]


def _read_json(value: object) -> object:
    """Read what one writes in an environment variable: JSON, or nothing."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=_object) if value.strip() else {}
    except ValueError as error:
        raise PydanticCustomError("json", "not JSON: {error}", {"error": str(error)}) from None


def _object(fields: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in fields]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"`{name}` stands there twice")
    return dict(fields)


NamedLimits = Annotated[dict[LimitName, NamedLimit], NoDecode, BeforeValidator(_read_json)]


class Posture(StrEnum):
    """How much a service tells: with `production` there is no GraphiQL, no introspection and no suggestion."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    """What is worth a line in the log."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How the log is written; `auto` is for readers on a terminal, and JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class Role(StrEnum):
    """What a process is for: `api` answers and takes runs, `all` executes them too."""

    ALL = "all"
    API = "api"


class Synchronous(StrEnum):
    """How sure SQLite makes that a commit is on the disk."""

    FULL = "FULL"
    NORMAL = "NORMAL"


class Settings(BaseSettings):
    """All settings of a service, with their defaults. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="GQL_APP_", frozen=True, extra="forbid")

    posture: Posture = Posture.DEVELOPMENT
    """Whether the service helps those who explore it, or tells strangers as little as it can."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    tools: Words = ()
    """Modules to load tools from."""
    allowed_origins: Origins = ()
    """Origins (`http://localhost:5173`) whose pages may use the service; its own pages always may."""

    maximum_attempts_in_flight: int = Field(default=256, ge=1)
    maximum_processes: int = Field(default=4, ge=1)
    maximum_leftovers: int = Field(default=64, ge=1)
    limits: NamedLimits = Field(default={}, max_length=1_000)
    """Limits by name: of a tool, of those whose names begin alike (`mcp.github.*`), or of the nodes that name it."""
    stop_grace_seconds: float = Field(default=10.0, ge=0)
    shutdown_grace_seconds: float = Field(default=10.0, ge=0)

    maximum_nodes: int = Field(default=1_000, ge=1)
    maximum_request_bytes: int = Field(default=1 << 20, ge=1024)
    maximum_output_bytes: int = Field(default=256 << 10, ge=1024)
    maximum_stream_bytes: int = Field(default=256 << 10, ge=1024)
    """What an attempt may stream; the rest is cut off."""
    maximum_log_lines: int = Field(default=1_000, ge=1, le=100_000)
    """What an attempt may log; the rest is left out."""
    maximum_run_bytes: int = Field(default=64 << 20, ge=1024)
    maximum_response_bytes: int = Field(default=1 << 20, ge=1024)
    """What `http.request` reads of an answer."""
    maximum_upload_bytes: int = Field(default=16 << 20, ge=1024)
    """What `http.request` sends in a request's body."""

    # Where runs are kept, for how long, and who goes on with them

    store: str = Field(default="memory", min_length=1)
    """`memory`, `sqlite:///runs.db` or `postgresql://user@host/database`."""
    role: Role = Role.ALL
    """Whether this process executes runs when it is its turn, or never."""
    migrate: bool = False
    """Whether the tables in Postgres are brought up to date at the start; those in SQLite always are."""
    sqlite_synchronous: Synchronous = Synchronous.FULL
    """With `NORMAL` the last commits may be lost when the machine loses power, though not when the process dies."""
    store_connections: int = Field(default=5, ge=1, le=100)
    """Connections to Postgres, or readers of SQLite, at once."""
    store_patience_seconds: float = Field(default=60.0, ge=0)
    """How long attempts go on while nothing can be stored."""
    retention_runs: int | None = Field(default=None, ge=1)
    retention_seconds: float | None = Field(default=None, gt=0)
    retention_bytes: int | None = Field(default=None, ge=1 << 20)
    """Of values. What is not set is what the store holds to: see the README."""
    retention_runs_per_namespace: int | None = Field(default=None, ge=1)

    maximum_subscriptions: int = Field(default=100, ge=1)
    """Operations at once on one websocket."""
    maximum_streams: int = Field(default=1_000, ge=1)
    """Subscriptions at once over server-sent events and multipart, of all clients."""

    # Limits of GraphQL documents, and which documents are carried out

    maximum_document_bytes: int = Field(default=20_000, ge=100)
    maximum_document_tokens: int = Field(default=2_000, ge=10)
    maximum_document_definitions: int = Field(default=50, ge=1)
    """Operations and fragments."""
    maximum_document_depth: int = Field(default=12, ge=2, le=50)
    maximum_document_aliases: int = Field(default=30, ge=0)
    maximum_document_directives: int = Field(default=20, ge=0)
    maximum_document_root_fields: int = Field(default=20, ge=1)
    maximum_cost: int = Field(default=10_000, ge=1)
    """Fields that an answer may have, as far as that can be told before."""
    maximum_errors: int = Field(default=10, ge=1)
    """How many errors of a document or of its variables are told."""
    operation_seconds: float = Field(default=30.0, gt=0)
    """How long an operation, or the answer to one event of a subscription, may take."""
    trusted_documents: Path | None = None
    """A directory of documents, or a manifest of them, that clients name by their SHA-256."""
    trusted_documents_only: bool = False
    """Whether all other documents are refused."""

    # Who is let in

    insecure: bool = False
    """Whether to serve everybody on an address that other machines reach."""
    allowed_hosts: Words = ()
    """Names under which the service is reached, beside the local ones."""
    keys_file: str = ""
    """Where the API keys stand that `gql-app keys` makes."""
    keys_in_store: bool | None = None
    """Whether those in the store let in, too; unless it is said, they do if the store has any at the start."""
    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_jwks_url: str = ""
    jwt_key_file: str = ""
    jwt_secret_file: str = ""
    jwt_algorithms: Words = ()
    jwt_leeway_seconds: float = Field(default=30.0, ge=0, le=600)
    jwt_namespace_claim: str = Field(default="namespace", min_length=1)
    jwt_scope_claim: str = Field(default="scope", min_length=1)
    jwt_default_namespace: str = ""

    # What tools and expressions may do, and their secrets

    http_allowed_networks: Networks = ()
    """What `http.request` may reach beside public addresses: networks (`10.1.0.0/16`) and names of hosts."""
    agent_models: Words = ()
    """Models that agents may use, as patterns (`openai:*`); all that have a key, if there are none."""
    agent_result_characters: int = Field(default=50_000, ge=100)
    """How much of a tool's result a model is told."""
    openai_base_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where the OpenAI-compatible server is whose models are named `local:…`."""
    openai_api_key: str = Field(default="", repr=False)
    """Its key, if it wants one."""
    subprocess_allowed: Words = ()
    """Programs that `subprocess.run` may run, by their absolute paths or names in the `PATH`; without any it is off."""
    subprocess_directories: Words = ()
    """Below which it may run them, beside new directories."""
    subprocess_output_bytes: int = Field(default=128 << 10, ge=1024)
    """What a program may write."""
    subprocess_memory_bytes: int = Field(default=4 << 30, ge=16 << 20)
    """Address space of each of its processes."""
    subprocess_grace_seconds: float = Field(default=2.0, ge=0, le=60)
    """For a program that is asked to stop."""
    expression_processes: int = Field(default=2, ge=1, le=64)
    """Processes that evaluate what could cost much."""
    expression_seconds: float = Field(default=1.0, gt=0, le=60)
    expression_memory_bytes: int = Field(default=256 << 20, ge=16 << 20)
    secrets_file: str = ""
    """Where secrets stand, each with the namespaces it is for."""
    secrets_namespaces: Words = ("default",)
    """Which namespaces the secrets of the environment are for; `*` is all."""

    mcp_servers: str = ""
    """Servers of the Model Context Protocol whose tools are there, as JSON: see the README."""
    mcp_file: str = ""
    """A JSON file that names more of them."""
    mcp_start_seconds: float = Field(default=10.0, ge=0, le=600)
    """How long the start waits for them; those that take longer come later."""
    mcp_connect_seconds: float = Field(default=60.0, gt=0, le=600)
    """How long one may take to start and to tell its tools."""

    # How many runs there may be

    maximum_active_runs: int = Field(default=1_000, ge=1)
    maximum_active_runs_per_namespace: int = Field(default=500, ge=1)
    maximum_queued_runs: int = Field(default=10_000, ge=0)
    maximum_queued_runs_per_namespace: int = Field(default=5_000, ge=0)
    """Runs that are stored and wait for their turn."""

    # Logs, metrics and traces

    log_level: LogLevel = LogLevel.WARNING
    log_format: LogFormat = LogFormat.AUTO
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Tells the metrics there, to whoever can reach it, instead of at `/metrics`."""
    maximum_operation_names: int = Field(default=100, ge=1)
    """How many names of GraphQL operations the metrics tell apart."""
    tracing: bool = False
    """Whether traces are sent, by OpenTelemetry (the extra `otel`)."""
