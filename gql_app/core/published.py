"""The JSON Schema of the document, for editors and other programs."""

from typing import Final

from gql_app.core.ids import NODE_ID, RESERVED_NODE_IDS
from gql_app.core.json_schema import DIALECT
from gql_app.core.spec import WorkflowSpec
from gql_app.core.values import Json

_PROPERTIES: Final = "properties"


def workflow_json_schema() -> dict[str, Json]:
    """Describe the document. What it accepts may still be refused: unknown nodes, cycles, expressions that fail."""
    generated = WorkflowSpec.model_json_schema(by_alias=True, mode="validation")
    definitions = {name: _tidy(part) for name, part in generated.pop("$defs").items()}
    node_id = definitions["NodeSpec"][_PROPERTIES]["id"]
    node_id["pattern"] = f"^{NODE_ID.pattern}$"
    node_id["not"] = {"enum": sorted(RESERVED_NODE_IDS)}
    return {"$schema": DIALECT, "title": "Workflow", **_tidy(generated), "$defs": definitions}


def _tidy(part: Json) -> Json:
    """Leave out what pydantic adds for itself: titles made of names, and defaults that only mean "left out"."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    tidy = {}
    for key, item in part.items():
        if key == _PROPERTIES:
            tidy[key] = {name: _tidy(field) for name, field in item.items()}
        elif key != "title" and not (key == "default" and (item is None or isinstance(item, dict))):
            tidy[key] = _tidy(item)
    return tidy
