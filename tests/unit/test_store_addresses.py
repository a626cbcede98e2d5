import pytest

from gql_app.core.errors import InvalidStoreError
from gql_app.settings import Settings
from gql_app.storage.sql.opening import make_database, parse_store


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bogus", "'bogus' is not the address"),
        ("postgresql://u:secret@[bad", "'[bad' is not the address"),
        ("mysql://u:secret@h/db", "no store of the kind 'mysql' (mysql://u:***@h/db)"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_what_is_not_the_address_of_a_store_is_refused_without_its_password(text: str, told: str) -> None:
    with pytest.raises(InvalidStoreError) as raised:
        parse_store(text)

    assert told in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "postgresql://user@host/database" in str(raised.value) or "sqlite:///runs.db" in str(raised.value)


def test_a_directory_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidStoreError, match=r"/nowhere/runs\.db is not there"):
        make_database(Settings(store="sqlite:////nowhere/runs.db"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_postgres_has_several_names(scheme: str) -> None:
    assert parse_store(f"{scheme}://u@h/db").render_as_string() == "postgresql://u@h/db"
