"""The operations that the client sends: the same named files that the service publishes."""

from functools import cache
from importlib.resources import files


@cache
def load_operation(name: str) -> str:
    """Read an operation by its name. Raises `FileNotFoundError` for one that does not exist."""
    return files("gql_app").joinpath("schema", "operations", f"{name}.graphql").read_text(encoding="utf-8")
