"""Finds a model by its name."""

import inspect
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

from httpx2 import AsyncClient
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from gql_app.core.errors import ToolError
from gql_app.settings import Settings

LOCAL: Final = "local:"
"""Names a model on the service's own OpenAI-compatible server."""


def check_allowed(name: str, settings: Settings) -> None:
    """Refuse a model that the service does not let agents use."""
    allowed = settings.agent_models
    if allowed and not any(fnmatchcase(name, pattern) for pattern in allowed):
        raise ToolError(
            f"The model {name!r} is not one that agents may use here: {', '.join(allowed)}.",
            type="ModelNotAllowed",
            retryable=False,
        )


def find_model(name: str, settings: Settings, http: AsyncClient, api_key: str | None) -> Model:
    """Find a model that is not `test`. Raises `ToolError` for one that is not known, or has no key.

    Its client tries nothing again by itself: that is for the policies of the step.
    """
    try:
        model = (
            _local(name, settings, http, api_key)
            if name.startswith(LOCAL)
            else infer_model(name, partial(_provider, http=http, api_key=api_key))
        )
    except ImportError as error:
        message = f"The model {name!r} needs a package that is not installed: {_line(error)}"
        raise ToolError(message, type="ModelNotConfigured", retryable=False) from error
    except UserError as error:
        type_ = "UnknownModel" if error.message.startswith("Unknown model") else "ModelNotConfigured"
        raise ToolError(f"The model {name!r}: {_line(error)}", type=type_, retryable=False) from error
    except ValueError as error:
        message = f"There is no model {name!r}: {_line(error)}"
        raise ToolError(message, type="UnknownModel", retryable=False) from error
    client: Any = getattr(model, "client", None)
    if hasattr(client, "max_retries"):
        client.max_retries = 0
    return model


def _local(name: str, settings: Settings, http: AsyncClient, api_key: str | None) -> Model:
    if settings.openai_base_url is None:
        message = "GQL_APP_OPENAI_BASE_URL says where the service's own server is, and it is not set."
        raise UserError(message)
    key = api_key or settings.openai_api_key or None
    provider = OpenAICompatibleProvider("local", base_url=settings.openai_base_url, api_key=key, http_client=http)
    return OpenAIChatModel(name.removeprefix(LOCAL), provider=provider)


def _provider(name: str, *, http: AsyncClient, api_key: str | None) -> Provider[Any]:
    kind: Any = infer_provider_class(name)
    takes = inspect.signature(kind).parameters
    options: dict[str, object] = {}
    if "http_client" in takes:
        options["http_client"] = http
    if api_key is not None:
        if "api_key" not in takes:
            raise UserError(f"the provider {name!r} takes no `apiKey`")
        options["api_key"] = api_key
    provider: Provider[Any] = kind(**options)
    return provider


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.rstrip(".")[:300] + "."
