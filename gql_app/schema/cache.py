"""Remembers documents that were parsed and found valid."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from graphql import DocumentNode
from strawberry.extensions import SchemaExtension

MAXIMUM_DOCUMENT: Final = 16_384
MAXIMUM_TOTAL: Final = 131_072


class Documents:
    """Valid documents by their text, the least recently used of them forgotten first.

    The sizes are in characters: parsed, each takes up to 300 bytes.
    """

    def __init__(self, *, maximum_document: int = MAXIMUM_DOCUMENT, maximum_total: int = MAXIMUM_TOTAL) -> None:
        self._maximum_document = maximum_document
        self._maximum_total = maximum_total
        self._documents: OrderedDict[str, DocumentNode] = OrderedDict()
        self._total = 0

    def find(self, text: str) -> DocumentNode | None:
        """Find a document."""
        document = self._documents.get(text)
        if document is not None:
            self._documents.move_to_end(text)
        return document

    def keep(self, text: str, document: DocumentNode) -> None:
        """Remember a document, unless it is too big."""
        if len(text) > self._maximum_document or text in self._documents:
            return
        self._documents[text] = document
        self._total += len(text)
        while self._total > self._maximum_total:
            forgotten, _ = self._documents.popitem(last=False)
            self._total -= len(forgotten)


_valid: Final = Documents()


class DocumentCache(SchemaExtension):
    """Parses and validates a document once. What is wrong is never remembered: it takes the ordinary way."""

    def on_parse(self) -> Iterator[None]:
        """Take a document that is known."""
        context = self.execution_context
        if context.query is not None:
            context.graphql_document = _valid.find(context.query)
        yield

    def on_validate(self) -> Iterator[None]:
        """Pass by what is known to be valid; remember what turns out to be."""
        context = self.execution_context
        query, document = context.query, context.graphql_document
        if query is not None and document is not None and _valid.find(query) is document:
            context.pre_execution_errors = []
        yield
        if query is not None and document is not None and context.pre_execution_errors == []:
            _valid.keep(query, document)
