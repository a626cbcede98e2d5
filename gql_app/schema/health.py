"""How the service is."""

from typing import Self

import strawberry

from gql_app import service
from gql_app.schema.enums import HealthStatus


@strawberry.type
class HealthCheck:
    """How one part of the service is."""

    name: str = strawberry.field(description="The part.")
    status: HealthStatus = strawberry.field(description="How it is.")
    message: str | None = strawberry.field(description="What is wrong with it.")


@strawberry.type
class Health:
    """How the service is; it is as bad as its worst part."""

    status: HealthStatus = strawberry.field(description="How it is.")
    checks: list[HealthCheck] = strawberry.field(description="How its parts are.")
    version: str = strawberry.field(description="The version that runs.")
    uptime_seconds: float = strawberry.field(description="How long it has been running.")
    leftovers: int = strawberry.field(description="Calls of tools that still go on although their attempt has ended.")

    @classmethod
    def from_health(cls, health: service.Health) -> Self:
        return cls(
            status=health.status,
            checks=[HealthCheck(name=each.name, status=each.status, message=each.message) for each in health.checks],
            version=health.version,
            uptime_seconds=health.uptime_seconds,
            leftovers=health.leftovers,
        )
