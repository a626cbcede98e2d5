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
        name = "_".join(str(part) for part in told["loc"][:1])
        message = f"GQL_APP_{name.upper()} is {told['input']!r}: {told['msg'].lower()}."
        raise CommandError(message, ExitCode.INVALID) from None
    except SettingsError as error:
        raise CommandError(f"The GQL_APP_… environment variables are not valid: {error}.", ExitCode.INVALID) from None
