"""How much introspection a document may ask for: about what GraphiQL and code generators do, and no more."""

from typing import Final, NamedTuple

from gql_app.schema.refusals import RefusedOperationError, refusal

ROOTS: Final = frozenset({"__schema", "__type"})
MAXIMUM_DEPTH: Final = 15
MAXIMUM_OF_TYPE: Final = 9
MAXIMUM_LISTS: Final = 1
"""The standard query has just this: 15 levels, 9 `ofType` in one another, and no list of these in another."""
MAXIMUM_SIZE: Final = 100_000
"""Of this size the standard query, with everything in it, has three quarters."""

_LISTS: Final = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
_SIZES: Final = {"types": 100, "fields": 6, "directives": 5, "args": 2, "enumValues": 2}
"""How many items a list has, roughly; those that are not here have one on average."""


class Introspected(NamedTuple):
    """What is selected below a field: the longest of its paths by several measures, and its size altogether."""

    depth: int = 0
    of_type: int = 0
    lists: int = 0
    size: int = 0

    def beside(self, other: "Introspected") -> "Introspected":
        """Add what is selected beside this."""
        return Introspected(
            max(self.depth, other.depth),
            max(self.of_type, other.of_type),
            max(self.lists, other.lists),
            self.size + other.size,
        )

    def below(self, name: str) -> "Introspected":
        """Put this below a field."""
        return Introspected(
            self.depth + 1,
            self.of_type + (name == "ofType"),
            self.lists + (name in _LISTS),
            1 + self.size * _SIZES.get(name, 1),
        )


def check(asked: Introspected) -> None:
    """Refuse what an operation asks of the schema if it is too much. Raises `RefusedOperationError`."""
    if asked.depth > MAXIMUM_DEPTH:
        raise _exceeded(f"{MAXIMUM_DEPTH} levels", "introspectionDepth", MAXIMUM_DEPTH)
    if asked.of_type > MAXIMUM_OF_TYPE:
        raise _exceeded(f"{MAXIMUM_OF_TYPE} `ofType` in one another", "introspectionOfType", MAXIMUM_OF_TYPE)
    if asked.lists > MAXIMUM_LISTS:
        raise _exceeded(f"{MAXIMUM_LISTS} list of fields or types on a path", "introspectionLists", MAXIMUM_LISTS)
    if asked.size > MAXIMUM_SIZE:
        raise _exceeded("as much as the standard query asks for", "introspectionSize", MAXIMUM_SIZE)


def _exceeded(most: str, limit: str, maximum: int) -> RefusedOperationError:
    message = f"The document has too much introspection; there may be {most}."
    return refusal(message, "LIMIT_EXCEEDED", limit=limit, maximum=maximum)
