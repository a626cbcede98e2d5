"""Documents that a service is started with: clients name them by their SHA-256 instead of sending them."""

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec

from gql_app.core.values import Json
from gql_app.schema.operation import GraphQLRequest
from gql_app.schema.refusals import RefusedOperationError, refusal

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_ENDINGS: Final = frozenset({".graphql", ".gql"})
_APOLLO: Final = "persistedQuery"


class InvalidTrustedDocumentsError(Exception):
    """The trusted documents cannot be used; the message says which and why."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"Trusted documents (GQL_APP_TRUSTED_DOCUMENTS): {where}: {problem}")


class Manifest:
    """Texts by the names that clients know them by. `sources` tells where each text stands."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.sources: dict[str, str] = {}

    def add(self, source: str, text: str, name: str | None = None) -> None:
        """Add a text, under the SHA-256 it has, and under a name of its own. Raises `InvalidTrustedDocumentsError`."""
        digest = digest_of(text)
        if name is not None:
            claimed = _DIGEST.fullmatch(name)
            if claimed is None:
                self.texts[name] = text
            elif claimed[1].lower() != digest:
                raise InvalidTrustedDocumentsError(source, f"its SHA-256 is {digest}, not {claimed[1]}.")
        self.texts[digest] = text
        self.sources.setdefault(text, source)


def digest_of(text: str) -> str:
    """Tell the SHA-256 of a text, in hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Read a directory of documents, or a manifest in JSON. Raises `InvalidTrustedDocumentsError`.

    A manifest is an object of texts by their ids, as Relay and code generators write it, or one of Apollo's, with
    `operations` that have an `id` and a `body`.
    """
    manifest = Manifest()
    try:
        if path.is_dir():
            for file in sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS):
                manifest.add(str(file), file.read_text(encoding="utf-8"))
        else:
            for name, text in _entries(path, msgspec.json.decode(path.read_bytes())):
                manifest.add(f"{path}: {name}", text, name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidTrustedDocumentsError(str(path), f"cannot be read: {reason}.") from None
    if not manifest.texts:
        raise InvalidTrustedDocumentsError(str(path), "there are none; documents are files named *.graphql.")
    return manifest


def _entries(path: Path, read: Json) -> Iterator[tuple[str, str]]:
    listed = read.get("operations") if isinstance(read, dict) else None
    pairs = [(each.get("id"), each.get("body")) for each in listed] if isinstance(listed, list) else None
    if pairs is None and isinstance(read, dict):
        pairs = list(read.items())
    if pairs is None or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise InvalidTrustedDocumentsError(
            str(path), "it is neither an object of texts by their ids nor a manifest of Apollo's."
        )
    yield from pairs


def find_text(request: GraphQLRequest, texts: Mapping[str, str]) -> str | None:
    """Find what is asked: the text of the request, or the one that it names. Raises `RefusedOperationError`."""
    name = request.document_id
    apollo = (request.extensions or {}).get(_APOLLO)
    if name is None and apollo is None:
        return request.query
    if name is None:
        name = apollo.get("sha256Hash") if isinstance(apollo, dict) and apollo.get("version") == 1 else None
        if not isinstance(name, str):
            message = "extensions.persistedQuery is {version: 1, sha256Hash: …}."
            raise refusal(message, "BAD_REQUEST")
    digest = _DIGEST.fullmatch(name)
    text = texts.get(digest[1].lower() if digest is not None else name)
    if request.query:
        if (digest_of(request.query) != digest[1].lower()) if digest is not None else (text != request.query):
            raise refusal("The document is not the one that the id names: its SHA-256 differs.", "DOCUMENT_ID_MISMATCH")
        return request.query
    if text is None and request.document_id is None:
        # Clients of Apollo know just this message and code.
        raise refusal("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    if text is None:
        message = f"There is no trusted document {name[:100]!r}; send its text as `query`."
        raise refusal(message, "PERSISTED_DOCUMENT_NOT_FOUND")
    return text


def untrusted() -> RefusedOperationError:
    """Make the refusal of a document that is none of those that are trusted."""
    message = "Only trusted documents are carried out here; send the id of one as `documentId`."
    return refusal(message, "UNTRUSTED_DOCUMENT", HTTPStatus.FORBIDDEN)
