"""Merges the policies of nodes and tools, and finds timeouts that contradict each other."""

from collections.abc import Mapping
from itertools import pairwise
from typing import TypeVar

from gql_app.core.errors import ProblemCode
from gql_app.core.plan import ToolDefinition
from gql_app.core.problems import Problems
from gql_app.core.spec import NodeSpec, RetryPolicy, TimeoutPolicy, WorkflowSpec

_Policy = TypeVar("_Policy", RetryPolicy, TimeoutPolicy)


def merge_policies(written: _Policy | None, default: _Policy) -> _Policy:
    """Give a policy that says what was written, and for the rest what the default says."""
    if written is None or not written.model_fields_set:
        return default
    return default.model_copy(update={field: getattr(written, field) for field in written.model_fields_set})


class Policies:
    """What the node says, else its tool, else the default; equal policies are one object."""

    def __init__(self, spec: WorkflowSpec, tools: Mapping[str, ToolDefinition]) -> None:
        self._spec = spec
        self._tools = tools
        self._shared: dict[object, RetryPolicy | TimeoutPolicy] = {}

    def retry(self, node: NodeSpec) -> RetryPolicy:
        return self._merge(node.retry, self._tools[node.tool].retry)

    def timeout(self, node: NodeSpec) -> TimeoutPolicy:
        return self._merge(node.timeout, self._tools[node.tool].timeout)

    def check(self, problems: Problems) -> None:
        """Find timeouts that are written in the document and cannot all be meant: the longer inside the shorter."""
        spec = self._spec
        run = ("timeoutSeconds", spec.timeout_seconds) if "timeout_seconds" in spec.model_fields_set else None
        for position, node in enumerate(spec.nodes):
            written = node.timeout.model_fields_set
            if not written:
                continue
            chain = [
                (name, seconds)
                for field, name, seconds in (
                    ("heartbeat_seconds", "heartbeatSeconds", node.timeout.heartbeat_seconds),
                    ("attempt_seconds", "attemptSeconds", node.timeout.attempt_seconds),
                    ("total_seconds", "totalSeconds", node.timeout.total_seconds),
                )
                if field in written and seconds is not None
            ]
            for (inner, short), (outer, long) in pairwise([*chain, run] if run else chain):
                if short > long:
                    whose = "the run's " if run and outer == run[0] else ""
                    problems.add(
                        ProblemCode.TIMEOUT_INCONSISTENT,
                        f"`{inner}` is {short:g}, longer than {whose}`{outer}`, {long:g}, which ends it before.",
                        f"/nodes/{position}/timeout/{inner}",
                        node_id=node.id,
                        hint=f"Make `{inner}` at most {long:g}, or `{outer}` at least {short:g}.",
                    )

    def _merge(self, written: _Policy, default: _Policy) -> _Policy:
        fields = written.model_fields_set
        if not fields:
            return default
        key = (id(default), frozenset(fields), written)
        shared = self._shared.get(key)
        if shared is None:
            shared = merge_policies(written, default)
            self._shared[key] = shared
        # The key holds the policy itself, so that what was found is of its class.
        assert type(shared) is type(written)
        return shared
