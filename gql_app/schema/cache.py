"""Remembers documents by their text."""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

MAXIMUM_DOCUMENT: Final = 20_000
MAXIMUM_TOTAL: Final = 131_072

T = TypeVar("T")


class Documents(Generic[T]):
    """What was made of documents, by their text; the least recently used of them is forgotten first.

    The sizes are in characters: what is made of them takes some hundred times that many bytes.
    """

    def __init__(self, *, maximum_document: int = MAXIMUM_DOCUMENT, maximum_total: int = MAXIMUM_TOTAL) -> None:
        self._maximum_document = maximum_document
        self._maximum_total = maximum_total
        self._documents: OrderedDict[str, T] = OrderedDict()
        self._total = 0

    def find(self, text: str) -> T | None:
        """Find a document."""
        document = self._documents.get(text)
        if document is not None:
            self._documents.move_to_end(text)
        return document

    def keep(self, text: str, document: T) -> None:
        """Remember a document, unless it is too big."""
        if len(text) > self._maximum_document or text in self._documents:
            return
        self._documents[text] = document
        self._total += len(text)
        while self._total > self._maximum_total:
            forgotten, _ = self._documents.popitem(last=False)
            self._total -= len(forgotten)
