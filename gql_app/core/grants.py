"""Checks which secrets a document asks for, and where."""

from collections.abc import Collection, Mapping
from typing import Final

from gql_app.core.cel import CEL_FORMAT
from gql_app.core.declared import Declaration
from gql_app.core.documents import Draft, quote
from gql_app.core.errors import ProblemCode
from gql_app.core.expressions import Place
from gql_app.core.placeholders import SECRETS_HINT, find_placeholders
from gql_app.core.plan import ToolDefinition
from gql_app.core.pointers import make_pointer
from gql_app.core.problems import Problems
from gql_app.core.references import Links
from gql_app.core.values import Json

UNKNOWN_HINT: Final = "Whoever runs the service sets secrets and says which namespaces each is for."
CODE_HINT: Final = "Hand the secret over as data, and name the data in the expression."


def check_secrets(
    draft: Draft, links: Links, tools: Mapping[str, ToolDefinition], granted: Collection[str], problems: Problems
) -> None:
    """Find placeholders of secrets that are not granted, and those that stand where none may."""
    for position, (node, link) in enumerate(zip(draft.checked.nodes, links, strict=True)):
        for place, name in link.template.secrets if link.template else ():
            pointer = make_pointer(("nodes", position, "input", *place))
            if name not in granted:
                message = f"There is no secret {quote(name)} for this namespace."
                hint = problems.suggest(name, granted) or UNKNOWN_HINT
                problems.add(ProblemCode.UNKNOWN_SECRET, message, pointer, node_id=node.id, hint=hint)
            if node.tool in tools and _is_code(tools[node.tool], place):
                message = "An expression cannot hold a secret."
                problems.add(ProblemCode.INVALID_EXPRESSION, message, pointer, node_id=node.id, hint=CODE_HINT)


def check_no_secrets(value: Json, pointer: str, problems: Problems) -> None:
    """Refuse placeholders in a value of the document that is data."""
    for place in find_placeholders(value):
        message = "A secret cannot stand in the run's input: it is data, and placeholders in it would stay as they are."
        problems.add(ProblemCode.INVALID_EXPRESSION, message, pointer + place, hint=SECRETS_HINT)


def _is_code(tool: ToolDefinition, place: Place) -> bool:
    schema = Declaration(tool.input_schema).at(place)
    return isinstance(schema, dict) and schema.get("format") == CEL_FORMAT
