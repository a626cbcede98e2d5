"""What expressions see of a run: its input, its id, and what has become of its nodes."""

from collections.abc import Iterable, Mapping

import msgspec

from gql_app.core.run import NodeRun, NodeStatus, WorkflowRun
from gql_app.core.values import Json, Value


def values_of(run: WorkflowRun, paths: Iterable[tuple[str, ...]]) -> tuple[Value, ...]:
    """Tell the values, inline or not, that an evaluation of these paths reads."""
    values: dict[tuple[str, ...], Value] = {}
    for path in paths:
        if path[0] == "input":
            values[path[:1]] = run.input
        elif path[0] == "nodes" and path[2] == "output":
            values[path[:2]] = run.nodes[run.topology.index[path[1]]].output
    return tuple(values.values())


def scope(run: WorkflowRun, paths: Iterable[tuple[str, ...]], stored: Mapping[str, bytes]) -> dict[str, Json]:
    """Lay out what these paths need; `stored` holds the bytes of the values that are not inline, by sha256."""
    result: dict[str, Json] = {"run": {"id": run.run_id}}
    nodes: dict[str, Json] = result.setdefault("nodes", {})
    for path in paths:
        if path[0] == "input" and "input" not in result:
            result["input"] = decode(run.input, stored)
        elif path[0] == "nodes" and path[1] not in nodes:
            node = run.nodes[run.topology.index[path[1]]]
            wants_output = any(p[:3] == ("nodes", path[1], "output") for p in paths)
            nodes[path[1]] = _node(node, stored if wants_output else None)
    return result


def _node(node: NodeRun, stored: Mapping[str, bytes] | None) -> Json:
    error = node.error and {"type": node.error.type, "message": node.error.message}
    done = node.status is NodeStatus.COMPLETED and stored is not None
    return {"status": node.status.value, "error": error, "output": decode(node.output, stored or {}) if done else None}


def decode(value: Value, stored: Mapping[str, bytes]) -> Json:
    """Decode a value, from itself or from where it is stored. Raises `KeyError` for one that is not there."""
    return msgspec.json.decode(value.json if value.sha256 is None else stored[value.sha256])
