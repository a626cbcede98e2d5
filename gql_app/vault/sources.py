"""Where secrets come from: the environment, and a file that nobody else may read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from gql_app.core.errors import InvalidSecretsError
from gql_app.core.placeholders import SECRET_NAME
from gql_app.files.private import PrivateFileError, read_private

PREFIX: Final = "GQL_APP_SECRET_"
EVERYBODY: Final = "*"
MAXIMUM_CHARACTERS: Final = 32_768

_EXAMPLE: Final = '{"NAME": {"value": "…", "namespaces": ["default"]}}'


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A secret, and the namespaces it is for."""

    value: str
    namespaces: tuple[str, ...]

    def is_for(self, namespace: str) -> bool:
        """Tell whether it is there for a namespace."""
        return namespace in self.namespaces or EVERYBODY in self.namespaces


def read_environment(environment: Mapping[str, str], namespaces: tuple[str, ...]) -> Mapping[str, Entry]:
    """Read the variables that are secrets; all are for the same namespaces. Raises `InvalidSecretsError`."""
    entries: dict[str, Entry] = {}
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX)
        if name == variable or not value:
            continue
        fault = _fault(name, value)
        if fault is not None:
            raise InvalidSecretsError(f"The environment variable {variable}: {fault}")
        entries[name] = Entry(value, namespaces)
    return entries


def read_file(path: Path) -> Mapping[str, Entry]:
    """Read a file of secrets. Raises `PrivateFileError`; no message tells a value."""
    try:
        data = read_private(path)
    except FileNotFoundError:
        raise PrivateFileError(f"{path} is not there: it should hold the secrets.") from None
    try:
        entries = msgspec.json.decode(data, type=dict[str, Entry])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PrivateFileError(f"{path} is not a file of secrets: {error}. Write {_EXAMPLE}") from None
    for name, entry in entries.items():
        fault = _fault(name, entry.value)
        if fault is not None:
            raise PrivateFileError(f"{path}, secret {name[:80]!r}: {fault}")
    return entries


def _fault(name: str, value: str) -> str | None:
    if SECRET_NAME.fullmatch(name) is None:
        return "its name must have letters, digits and `_`, 64 at most, and not begin with a digit."
    if not 0 < len(value) <= MAXIMUM_CHARACTERS:
        return f"its value must have 1 to {MAXIMUM_CHARACTERS} characters."
    try:
        value.encode()
    except UnicodeEncodeError:
        return "its value is not UTF-8."
    return None
