"""How an operation is refused before it begins."""

from collections.abc import Sequence
from http import HTTPStatus

import orjson
from graphql import GraphQLError, GraphQLFormattedError

from gql_app.core.values import Json


class RefusedOperationError(Exception):
    """The operation cannot begin: there is no data, only `errors`. `status` is how HTTP says so."""

    def __init__(self, errors: Sequence[GraphQLError], status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors: list[GraphQLFormattedError] = [error.formatted for error in errors]
        self.status = status

    @property
    def body(self) -> bytes:
        """The answer, encoded."""
        return orjson.dumps({"errors": self.errors})


def refusal(
    message: str, code: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST, **details: Json
) -> RefusedOperationError:
    """Make the refusal of one error. `code` is for programs to read."""
    return RefusedOperationError([GraphQLError(message, extensions={"code": code, **details})], status)
