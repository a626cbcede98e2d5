"""What a tool is, and what the service knows of tools and secrets."""

from collections.abc import Mapping
from typing import Protocol

from gql_app.core.ids import Namespace
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports.context import ToolContext


class Tool(Protocol):
    """The unit of work. `definition.isolation` says where it runs: `async`, `thread` or `process`."""

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        ...

    def parse(self, value: Json) -> Json:
        """Check a resolved input and make the arguments of `call` or `run` of it. Raises `InvalidInputError`."""
        ...

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Do the work of an async tool. What it returns must be JSON."""
        ...

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Do the work of a sync tool, in a thread or (picklable then) in a process of its own."""
        ...


class Secrets(Protocol):
    """Texts that documents name and never show. Each is granted to some namespaces; to the others it is not there."""

    def names(self, namespace: Namespace) -> frozenset[str]:
        """Name the secrets there are for a namespace."""
        ...

    def value(self, namespace: Namespace, name: str) -> str | None:
        """Tell a secret as it is now, if it is there for this namespace."""
        ...


class Tools(Protocol):
    """The tools there are, by name."""

    def find(self, name: str) -> Tool | None:
        """Find a tool."""
        ...

    def definitions(self, namespace: Namespace | None = None) -> Mapping[str, ToolDefinition]:
        """Tell all definitions by name, sorted by it, or only those of the tools that a namespace may use."""
        ...

    def why_missing(self, name: str, namespace: Namespace) -> str | None:
        """Say why a tool is not there for a namespace, if there is more to say than that."""
        ...


class ToolSource(Protocol):
    """Brings tools that come, change and go while the service runs. Their names begin with its prefix, no others do."""

    @property
    def prefix(self) -> str:
        """What the names of its tools begin with."""
        ...

    def tools(self) -> Mapping[str, Tool]:
        """Tell the tools as they are now, or as they were when they were last known, by their whole names."""
        ...

    def stand_in(self, name: str) -> Tool | None:
        """Give what to call for a tool that may be there once the source is; none if there is no such tool."""
        ...

    def is_for(self, namespace: Namespace) -> bool:
        """Tell whether a namespace may use the tools."""
        ...

    def why_missing(self, name: str) -> str | None:
        """Say why one of its tools is not there, if there is more to say than that."""
        ...
