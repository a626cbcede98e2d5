"""Texts of the settings with secrets in them, which are put in when a server is connected."""

from dataclasses import dataclass
from typing import Final

from gql_app.core.errors import SecretUnavailableError
from gql_app.core.ids import Namespace
from gql_app.core.placeholders import Secret, secret_name
from gql_app.core.templates import Hole, split_template
from gql_app.ports import Secrets

EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True)
class SealedText:
    """A text with the places of its secrets."""

    pieces: tuple[str | Secret, ...]

    @property
    def names(self) -> list[str]:
        """The names of its secrets."""
        return [piece.name for piece in self.pieces if isinstance(piece, Secret)]

    def open(self, secrets: Secrets, namespaces: tuple[str, ...], used: dict[str, str]) -> str:
        """Put the secrets in as they are now, and note them in `used`.

        Raises `SecretUnavailableError` if one is not there for all of the namespaces.
        """
        return "".join(
            piece if isinstance(piece, str) else _value(piece.name, secrets, namespaces, used) for piece in self.pieces
        )


def seal(text: str) -> SealedText:
    """Find the secrets in a text. Raises `ValueError` for any other `${ … }`."""
    pieces, invalid = split_template(text)
    if invalid is not None:
        raise ValueError(str(invalid))
    return SealedText(tuple(_piece(piece) if isinstance(piece, Hole) else piece for piece in pieces))


def _piece(hole: Hole) -> Secret:
    name = secret_name(hole.text)
    if name is None:
        raise ValueError(f"`${{{hole.text[:80]}}}` is not a secret: write `${{ secrets.NAME }}`.")
    return Secret(name, f"${{{hole.text}}}")


def _value(name: str, secrets: Secrets, namespaces: tuple[str, ...], used: dict[str, str]) -> str:
    value: str | None = None
    for namespace in namespaces:
        value = secrets.value(Namespace(namespace), name)
        if value is None:
            raise SecretUnavailableError(name)
    assert value is not None, "There is at least one namespace."
    used[name] = value
    return value
