"""What can be set, by arguments or `GQL_APP_…` environment variables."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """All settings of a service, with their defaults. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="GQL_APP_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    tools: tuple[str, ...] = ()
    """Modules to load tools from."""

    maximum_attempts_in_flight: int = Field(default=256, ge=1)
    maximum_runs_in_flight: int = Field(default=10_000, ge=1)
    maximum_processes: int = Field(default=4, ge=1)
    maximum_leftovers: int = Field(default=64, ge=1)
    stop_grace_seconds: float = Field(default=10.0, ge=0)
    shutdown_grace_seconds: float = Field(default=10.0, ge=0)

    maximum_nodes: int = Field(default=1_000, ge=1)
    maximum_request_bytes: int = Field(default=1 << 20, ge=1024)
    maximum_output_bytes: int = Field(default=256 << 10, ge=1024)
    maximum_run_bytes: int = Field(default=64 << 20, ge=1024)
    maximum_response_bytes: int = Field(default=1 << 20, ge=1024)
    """What `http.request` reads of an answer."""

    retention_runs: int = Field(default=10_000, ge=1)
    retention_seconds: float = Field(default=86_400.0, gt=0)
    retention_bytes: int = Field(default=1 << 30, ge=1 << 20)

    maximum_subscriptions: int = Field(default=100, ge=1)
    """Operations at once on one websocket."""
