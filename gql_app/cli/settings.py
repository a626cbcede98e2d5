"""Makes settings of arguments and the environment."""

from pydantic import ValidationError
from pydantic_settings import SettingsError

from gql_app.cli.failures import CommandError, ExitCode
from gql_app.core.values import Json
from gql_app.settings import Settings


def load_settings(**arguments: Json) -> Settings:
    """Make the settings; arguments that are None or empty leave the say to the environment. Raises `CommandError`."""
    try:
        return Settings(**{name: value for name, value in arguments.items() if value not in (None, ())})
    except ValidationError as error:
        told = error.errors(include_url=False)[0]
        reason = told["msg"][:1].lower() + told["msg"][1:]
        raise CommandError(f"{_place(told['loc'])} is {told['input']!r}: {reason}.", ExitCode.INVALID) from None
    except SettingsError as error:
        raise CommandError(f"The GQL_APP_… environment variables are not valid: {error}.", ExitCode.INVALID) from None


def _place(location: tuple[int | str, ...]) -> str:
    """Name the setting, and of one that is an object also the place in it."""
    name, *path = location or ("",)
    inside = ".".join(part for part in path if isinstance(part, str) and part != "[key]")
    return f"GQL_APP_{str(name).upper()}" + (f" at `{inside}`" if inside else "")
