"""Remembers documents that were parsed and found valid."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from graphql import DocumentNode
from strawberry.extensions import SchemaExtension

MAXIMUM_DOCUMENTS: Final = 256
MAXIMUM_LENGTH: Final = 16_384

_valid: Final[OrderedDict[str, DocumentNode]] = OrderedDict()


class DocumentCache(SchemaExtension):
    """Parses and validates a document once. What is wrong is never remembered: it takes the ordinary way."""

    def on_parse(self) -> Iterator[None]:
        """Take a document that is known."""
        query = self.execution_context.query
        document = _valid.get(query) if query is not None else None
        if document is not None and query is not None:
            _valid.move_to_end(query)
            self.execution_context.graphql_document = document
        yield

    def on_validate(self) -> Iterator[None]:
        """Pass by what is known to be valid; remember what turns out to be."""
        context = self.execution_context
        query = context.query
        if query is not None and context.graphql_document is not None and _valid.get(query) is context.graphql_document:
            context.pre_execution_errors = []
        yield
        if query is not None and len(query) <= MAXIMUM_LENGTH and context.pre_execution_errors == []:
            _remember(query, context.graphql_document)


def _remember(query: str, document: DocumentNode | None) -> None:
    if document is not None and query not in _valid:
        _valid[query] = document
        if len(_valid) > MAXIMUM_DOCUMENTS:
            _valid.popitem(last=False)
