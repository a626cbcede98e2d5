"""The documents and inputs that an assistant hands over: JSON, or the text of a YAML or JSON file."""

from typing import Final

import anyio.to_thread
from msgspec import UNSET

from gql_app.cli.assistant.failures import AskedWronglyError
from gql_app.cli.documents import DocumentError, parse_document
from gql_app.core.documents import find_faults
from gql_app.core.values import Json

MAXIMUM_CHARACTERS: Final = 1 << 20
"""The longest text that is read: YAML takes its time, and a server takes no more than this unless it is told to."""
MAXIMUM_DEPTH: Final = 100
MAXIMUM_VALUES: Final = 1_000_000


async def read_document(document: dict[str, Json] | str) -> Json:
    """Give a document as JSON. Raises `AskedWronglyError`, which names the line of a text."""
    if isinstance(document, str):
        if len(document) > MAXIMUM_CHARACTERS:
            raise AskedWronglyError(f"The document has more than {MAXIMUM_CHARACTERS} characters.", "INVALID_DOCUMENT")
        try:
            # Not here, where it would keep everybody waiting.
            return await anyio.to_thread.run_sync(parse_document, document, "document", abandon_on_cancel=True)
        except DocumentError as error:
            raise AskedWronglyError(str(error), "INVALID_DOCUMENT") from None
    return _checked(document, "document")


def read_input(value: Json) -> Json:
    """Give an input as it is; `UNSET` stands for none. Raises `AskedWronglyError` for what is not JSON."""
    return value if value is UNSET else _checked(value, "input")


def _checked(value: Json, name: str) -> Json:
    for fault in find_faults(value, MAXIMUM_DEPTH, MAXIMUM_VALUES):
        raise AskedWronglyError(f"`{name}`, at {fault.pointer or 'the top'}: {fault.message}")
    return value
