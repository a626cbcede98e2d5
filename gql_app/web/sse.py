"""Server-sent events by the protocol graphql-sse, a connection for each operation."""

from typing import Final

from gql_app.schema.execution import Answer
from gql_app.web.refusals import graphql_errors


class Events:
    """Writes results as events. Lines end with LF alone: not every client reads CRLF."""

    content_type: Final = b"text/event-stream; charset=utf-8"
    opening: Final = b"retry: 1000\n\n"
    ping: Final = b":\n\n"
    completed: Final = b"event: complete\ndata:\n\n"
    interrupted: Final = b""
    """Nothing: a stream that ends without `complete` has broken off, and clients come back."""

    def result(self, answer: Answer) -> bytes:
        """Write a result; that of an update with its sequence, which browsers send back as Last-Event-ID."""
        if answer.sequence is None:
            return b"event: next\ndata: %b\n\n" % answer.body
        return b"event: next\nid: %d\ndata: %b\n\n" % (answer.sequence, answer.body)

    def dismissed(self, reason: str) -> bytes:
        """Write that a client is no longer let in."""
        return b"event: next\ndata: %b\n\n%b" % (graphql_errors("UNAUTHENTICATED", reason), self.completed)
