"""The spec resolved: policies merged, dependencies inferred. It is stored in a run's first event."""

import msgspec

from gql_app.core.ids import NodeKey
from gql_app.core.spec import Budget, RateLimit, RetryPolicy, TimeoutPolicy
from gql_app.core.values import Json


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a tool without calling it.

    Schemas are JSON Schema (2020-12); policies hold only what the tool sets.
    """

    name: str
    description: str = ""
    input_schema: Json = True
    output_schema: Json = True
    retry: RetryPolicy = RetryPolicy()
    timeout: TimeoutPolicy = TimeoutPolicy()
    max_concurrency: int | None = None
    rate_limit: RateLimit | None = None
    limits: tuple[str, ...] = ()
    """Names of limits that its calls fall under where the service has them."""
    isolation: str = "async"
    """`async` (on the loop), `thread` or `process`."""
    streams: bool = False
    """Whether its output is a text that it shows as it grows."""


class NodePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One node, resolved.

    `depends_on` names every dependency, `reads` those whose output its input or `when` mentions.
    """

    key: NodeKey
    tool: str
    input: Json = None
    depends_on: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    when: str | None = None
    """The text of the expression, without `${ }`."""
    retry: RetryPolicy = RetryPolicy()
    timeout: TimeoutPolicy = TimeoutPolicy()
    continue_on_failure: bool = False
    limits: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All the machine reads of a workflow. Nodes stand in document order."""

    name: str
    nodes: tuple[NodePlan, ...]
    output: Json = None
    """A template; null means the outputs of the nodes nobody depends on."""
    timeout_seconds: float = 3600.0
    stop_grace_seconds: float = 10.0
    maximum_concurrency: int | None = None
    budget: Budget | None = None
