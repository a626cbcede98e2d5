"""Where secrets come from, and whom they are for."""

import json
from pathlib import Path

import pytest

from gql_app.core.errors import InvalidSecretsError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.vault.vault import Vault, make_vault

OTHER = Namespace("other")


def write(path: Path, entries: Json, mode: int = 0o600) -> Path:
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    new.chmod(mode)
    return new.replace(path)


def entry(value: str, *namespaces: str) -> Json:
    return {"value": value, "namespaces": list(namespaces)}


def vault(path: Path | None = None, *, namespaces: tuple[str, ...] = ("default",), **variables: str) -> Vault:
    settings = Settings(secrets_file=str(path or ""), secrets_namespaces=namespaces)
    return make_vault(settings, {f"GQL_APP_SECRET_{name}": value for name, value in variables.items()})


def test_secrets_of_the_environment_are_for_the_default_namespace() -> None:
    secrets = vault(TOKEN="from the environment", EMPTY="")

    assert secrets.names(DEFAULT_NAMESPACE) == {"TOKEN"}
    assert secrets.names(OTHER) == set()
    assert secrets.value(DEFAULT_NAMESPACE, "TOKEN") == "from the environment"
    assert secrets.value(OTHER, "TOKEN") is None


@pytest.mark.parametrize("namespaces", [("other",), ("*",)])
def test_secrets_of_the_environment_can_be_for_other_namespaces(namespaces: tuple[str, ...]) -> None:
    assert vault(TOKEN="x", namespaces=namespaces).value(OTHER, "TOKEN") == "x"


def test_the_file_says_which_namespaces_a_secret_is_for(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.json", {"A": entry("a", "other"), "B": entry("b", "*"), "C": entry("c")})

    secrets = vault(path, A="of the environment")

    assert secrets.names(DEFAULT_NAMESPACE) == {"B"}
    assert secrets.names(OTHER) == {"A", "B"}
    assert secrets.value(OTHER, "A") == "a"


def test_a_secret_that_is_changed_in_the_file_is_changed_at_once_and_both_values_are_hidden(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.json", {"A": entry("the old value", "*")})
    secrets = vault(path)

    write(path, {"A": entry("the new value, longer", "*")})

    assert secrets.value(OTHER, "A") == "the new value, longer"
    assert secrets.hide("the old value; the new value, longer") == "[secret A]; [secret A]"


def test_a_secret_that_is_taken_out_of_the_file_is_gone(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.json", {"A": entry("the old value", "*")})
    secrets = vault(path)

    write(path, {})

    assert secrets.value(OTHER, "A") is None


@pytest.mark.parametrize(("content", "mode"), [("{", 0o600), ('{"A": 1}', 0o600), ("{}", 0o644)])
def test_a_file_that_breaks_later_changes_nothing(tmp_path: Path, content: str, mode: int) -> None:
    path = write(tmp_path / "secrets.json", {"A": entry("the value", "*")})
    secrets = vault(path)

    write(path, content, mode)

    assert secrets.value(OTHER, "A") == "the value"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a file of secrets"),
        ([], "is not a file of secrets"),
        ({"A": "hunter2-hunter2"}, "is not a file of secrets"),
        ({"A": {"value": "hunter2-hunter2"}}, "is not a file of secrets"),
        ({"A": {**entry("hunter2-hunter2", "*"), "more": 1}}, "is not a file of secrets"),
        ({"A-B": entry("hunter2-hunter2", "*")}, "secret 'A-B': its name must have letters"),
        ({"A": entry("", "*")}, "secret 'A': its value must have 1 to"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_no_value_is_told(
    tmp_path: Path, content: Json, message: str
) -> None:
    path = write(tmp_path / "secrets.json", content)

    with pytest.raises(InvalidSecretsError, match=message) as raised:
        vault(path)

    assert str(path) in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "secrets.json", {}, mode=0o640)

    with pytest.raises(InvalidSecretsError, match="chmod 600"):
        vault(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSecretsError, match="is not there"):
        vault(tmp_path / "nowhere.json")


def test_a_variable_that_names_no_secret_is_refused() -> None:
    with pytest.raises(InvalidSecretsError, match="GQL_APP_SECRET_1A: its name must have") as raised:
        make_vault(Settings(), {"GQL_APP_SECRET_1A": "hunter2-hunter2"})

    assert "hunter2" not in str(raised.value)
