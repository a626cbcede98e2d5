"""What somebody needs to be allowed for each field at the root; who may do nothing learns nothing."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from graphql import OperationType

from gql_app.core.access import Identity, Scope
from gql_app.schema.introspection import ROOTS
from gql_app.schema.refusals import RefusedOperationError, refusal

PUBLIC: Final = frozenset({"__typename", "health"})
"""Fields of queries that everybody may ask for."""

SCOPES: Final[dict[OperationType, dict[str, Scope]]] = {
    OperationType.QUERY: {
        "workflow": Scope.READ,
        "workflows": Scope.READ,
        "tools": Scope.READ,
        "tool": Scope.READ,
        "validateWorkflow": Scope.READ,
    },
    OperationType.MUTATION: {
        "submitWorkflow": Scope.WRITE,
        "cancelWorkflow": Scope.WRITE,
        "retryWorkflow": Scope.WRITE,
        "deleteWorkflow": Scope.WRITE,
    },
    OperationType.SUBSCRIPTION: {"workflowUpdates": Scope.READ},
}
"""What each other field needs. A field that stands nowhere is refused to everybody."""


def check_access(identity: Identity, kind: OperationType, roots: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an operation whose root fields are not all allowed to who asks. Raises `RefusedOperationError`.

    `known` are the fields that there are: that there is no other is for validation to say.
    """
    if not identity.scopes:
        if kind is OperationType.QUERY and PUBLIC.issuperset(roots):
            return
        raise unauthenticated()
    scopes = SCOPES[kind]
    for root in sorted(set(roots) - PUBLIC - ROOTS):
        scope = scopes.get(root)
        if root in known and (scope is None or not identity.may(scope)):
            raise _forbidden(root, scope)


def unauthenticated() -> RefusedOperationError:
    """Make the refusal of somebody who is nobody."""
    message = "Only `health` is told to everybody. Send an API key or token: `Authorization: Bearer …`."
    return refusal(message, "UNAUTHENTICATED", HTTPStatus.UNAUTHORIZED)


def _forbidden(root: str, scope: Scope | None) -> RefusedOperationError:
    if scope is None:
        return refusal(f"Nobody may use `{root}`.", "FORBIDDEN", HTTPStatus.FORBIDDEN)
    message = f"`{root}` needs the scope {scope.value!r}, which your key or token does not have."
    return refusal(message, "FORBIDDEN", HTTPStatus.FORBIDDEN, scope=scope.value)
