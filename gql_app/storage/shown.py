"""How much of what attempts show a log holds: it counts beside the values."""

from collections.abc import Iterable

from gql_app.core.events import NodeLog, NodeOutputChunk, RunEvent


def shown_bytes(events: Iterable[RunEvent]) -> int:
    """Add up the text that was streamed and the lines that were logged."""
    size = 0
    for event in events:
        if isinstance(event, NodeOutputChunk):
            size += len(event.text.encode())
        elif isinstance(event, NodeLog):
            size += len(event.message.encode()) + len(memoryview(event.fields))
    return size
