"""The ASGI application: its routes, and what every request passes on its way to them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypedDict

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ExceptionHandler, Scope

from gql_app.bootstrap import Application, application
from gql_app.ports import Tool
from gql_app.schema.execution import Operations
from gql_app.schema.observed import ObservedOperations
from gql_app.schema.operations import NAMES
from gql_app.settings import Posture, Settings
from gql_app.telemetry.instruments import Instruments
from gql_app.web import metrics, rest
from gql_app.web.auth.setup import AuthenticationSettingsError, authenticates, look_for_keys, make_gate
from gql_app.web.closing import Closing
from gql_app.web.endpoint import STATIC_PATH, GraphQLEndpoint
from gql_app.web.failures import MaskedFailures
from gql_app.web.gate import ForbiddenError, Gate, UnauthenticatedError, refuse_caller
from gql_app.web.graphiql import STATIC_DIRECTORY
from gql_app.web.headers import SecurityHeaders
from gql_app.web.hosts import KnownHosts, OwnMachine, known_names
from gql_app.web.limits import BodyLimit
from gql_app.web.observed import Observed
from gql_app.web.refusals import GRAPHQL_PATH, refuse_http_exception
from gql_app.web.sockets import GraphQLSockets

_ASKED: Final = (
    "authorization",
    "content-type",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-request-id",
)
"""Headers that pages of other origins may send, beside those they always may."""
_TOLD: Final = ("location", "retry-after", "www-authenticate", "x-request-id")
"""Headers of answers that those pages may read, beside those they always may."""


class State(TypedDict):
    """What requests find in their state."""

    application: Application
    operations: Operations
    gate: Gate
    closing: Closing


class Assets(StaticFiles):
    """The page's own files. Browsers keep them, and ask every time whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, or with 304 to a browser that has it."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(settings: Settings | None = None, *, tools: Sequence[Tool] = ()) -> Starlette:
    """Make the application. Its service opens and closes with the server's lifespan.

    Without `settings` they come from the environment. Raises `AuthenticationSettingsError`.
    """
    known = settings or Settings()
    instruments = Instruments(known, operations=NAMES)
    operations = ObservedOperations(known, instruments)
    gate, closing = make_gate(known), Closing()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        await _check_keys(known)
        async with (
            gate.opened(),
            application(known, tools=tools, instruments=instruments) as opened,
            instruments.served(),
        ):
            if known.keys_file or known.keys_in_store:
                opened.service.include_in_health("keys", gate.problem)
            app.state.application = opened
            yield {"application": opened, "operations": operations, "gate": gate, "closing": closing}

    handlers: dict[type[Exception], ExceptionHandler] = {HTTPException: refuse_http_exception}
    handlers.update(dict.fromkeys((UnauthenticatedError, ForbiddenError), refuse_caller))
    handlers.update(dict.fromkeys(rest.error_types(), rest.refuse_workflow_error))
    app = Starlette(
        routes=_routes(known),
        middleware=[Middleware(Observed, metrics=instruments.metrics.http, traced=known.tracing), *_middleware(known)],
        exception_handlers=handlers,
        lifespan=lifespan,
    )
    app.state.instruments = instruments
    app.state.closing = closing
    return app


async def _check_keys(settings: Settings) -> None:
    """Refuse to serve everybody what somebody has made keys for. Raises `AuthenticationSettingsError`."""
    if settings.keys_in_store is None and (await look_for_keys(settings)).keys_in_store:
        message = "The store has API keys: set GQL_APP_KEYS_IN_STORE=true, so that they are asked for, or false."
        raise AuthenticationSettingsError(message)


def _routes(settings: Settings) -> list[BaseRoute]:
    return [
        Route(GRAPHQL_PATH, GraphQLEndpoint(settings)),
        WebSocketRoute(GRAPHQL_PATH, GraphQLSockets(settings)),
        *([Mount(STATIC_PATH, Assets(directory=STATIC_DIRECTORY))] if settings.posture is Posture.DEVELOPMENT else []),
        *rest.routes(),
        *metrics.routes(settings),
        Route("/", _to_graphiql),
    ]


def _middleware(settings: Settings) -> list[Middleware]:
    """Tell what requests pass, outermost first."""
    names = known_names(settings)
    hosts = [Middleware(KnownHosts, names=names)] if names is not None else []
    if not settings.insecure and not authenticates(settings):
        hosts.append(Middleware(OwnMachine))
    limit = Middleware(BodyLimit, maximum=settings.maximum_request_bytes)
    return [Middleware(SecurityHeaders), *_shared(settings), Middleware(MaskedFailures), *hosts, limit]


def _shared(settings: Settings) -> list[Middleware]:
    """Let pages of the allowed origins read the answers. Browsers keep them from all others (CORS)."""
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["DELETE", "GET", "POST"],
            allow_headers=_ASKED,
            expose_headers=_TOLD,
        )
    ]


async def _to_graphiql(_: Request) -> Response:
    return RedirectResponse(GRAPHQL_PATH)
