"""The secrets of a service, each for the namespaces it is granted to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gql_app.core.errors import InvalidSecretsError
from gql_app.core.ids import Namespace
from gql_app.core.redaction import Redactor
from gql_app.files.private import PrivateFileError
from gql_app.files.watched import WatchedFile
from gql_app.settings import Settings
from gql_app.vault.sources import Entry, read_environment, read_file

_NONE: Final[Mapping[str, Entry]] = {}


class Vault:
    """Secrets of the environment and of a file, which is read again when it has changed; the file's come first."""

    def __init__(self, environment: Mapping[str, Entry], file: WatchedFile[Mapping[str, Entry]] | None = None) -> None:
        self._environment = environment
        self._file = file
        self._stands: Mapping[str, Entry] | None = None
        self._entries: Mapping[str, Entry] = {}
        self._before: Mapping[str, Entry] = {}
        self._redactor = Redactor({})
        self._look()

    def names(self, namespace: Namespace) -> frozenset[str]:
        """Name the secrets there are for a namespace."""
        return frozenset(name for name, entry in self._look().items() if entry.is_for(namespace))

    def value(self, namespace: Namespace, name: str) -> str | None:
        """Tell a secret as it is now, if it is there for this namespace."""
        entry = self._look().get(name)
        return entry.value if entry is not None and entry.is_for(namespace) else None

    def hide(self, text: str) -> str:
        """Take all secrets out of a text, those that were there before the last change too."""
        return self._redactor.hide(text)

    def _look(self) -> Mapping[str, Entry]:
        """Give what there is now."""
        stands = _NONE if self._file is None else self._file.content
        if stands is not self._stands:
            self._before, self._entries = self._entries, {**self._environment, **stands}
            self._stands = stands
            values = {name: entry.value for name, entry in self._entries.items()}
            old = {name: entry.value for name, entry in self._before.items() if entry.value not in values.values()}
            self._redactor = Redactor(values, old)
        return self._entries


def make_vault(settings: Settings, environment: Mapping[str, str] = os.environ) -> Vault:
    """Gather the secrets of a service. Raises `InvalidSecretsError`."""
    try:
        file = WatchedFile(Path(settings.secrets_file), read_file) if settings.secrets_file else None
    except PrivateFileError as error:
        raise InvalidSecretsError(str(error)) from None
    return Vault(read_environment(environment, settings.secrets_namespaces), file)
