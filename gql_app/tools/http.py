"""The tool `http.request`."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Final

import anyio.to_thread
import httpcore
import httpx
from pydantic import BaseModel, Field

from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.telemetry.context import trace_parent
from gql_app.tools.decorator import tool
from gql_app.tools.http_body import decode_body, read_body
from gql_app.tools.http_input import HttpRequestInput
from gql_app.tools.http_network import GuardedBackend, GuardedTransport
from gql_app.tools.http_reach import Reach

MAXIMUM_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
IDLE_CONNECTIONS: Final = 32
RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})
_MESSAGE_CHARACTERS: Final = 200
_LONGEST_WAIT: Final = 30 * 86_400.0
_HEADERS_FOR_ANYBODY: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})


class HttpResponse(BaseModel):
    """The answer."""

    status: Annotated[int, Field(description="The status code.")]
    http_version: Annotated[
        str, Field(serialization_alias="httpVersion", description="`HTTP/1.1` or `HTTP/2`, as the server chose.")
    ]
    headers: Annotated[dict[str, str], Field(description="The headers; their names are in lower case.")]
    body: Annotated[
        Json, Field(description="JSON if the content type says so, else text; null for JSON without a body.")
    ]
    url: Annotated[
        str, Field(description="Where the answer came from, after all redirects, without user and password.")
    ]


class HttpRequest:
    """The tool. All its calls share one pool of connections, which is opened by the first."""

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._maximum = settings.maximum_response_bytes
        self._connections = settings.maximum_attempts_in_flight
        self._transport = transport
        self._network = network or GuardedBackend(Reach(settings))
        self._trust = trust
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tool = tool(name="http.request")(self._request)

    @property
    def definition(self) -> ToolDefinition:
        """Everything known without a call."""
        return self._tool.definition

    def parse(self, value: Json) -> Json:
        """Check a resolved input. Raises `InvalidInputError`."""
        return self._tool.parse(value)

    async def call(self, arguments: Json, context: ToolContext) -> Json:
        """Send the request."""
        return await self._tool.call(arguments, context)

    def run(self, arguments: Json, context: ToolContext) -> Json:
        """Refuse: the tool is async."""
        raise TypeError("http.request is async: await `call`.")

    async def aclose(self) -> None:
        """Close the connections. A later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _request(self, request: HttpRequestInput, context: ToolContext) -> HttpResponse:
        """Send an HTTP request and return the answer. Connection errors, 408, 425, 429 and 5xx may be retried."""
        client = await self._open()
        async with _errors(request), _sent(client, request) as response:
            if not request.expects(response.status_code):
                raise _unexpected(response, datetime.now(UTC))
            data = await read_body(response, self._maximum, context.heartbeat)
            return HttpResponse(
                status=response.status_code,
                http_version=response.http_version,
                headers=dict(response.headers),
                body=decode_body(response, data),
                url=str(response.url.copy_with(userinfo=b"")),
            )

    async def _open(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            verify = self._trust
            if verify is None:
                # Reading the certificates takes a tenth of a second.
                verify = await anyio.to_thread.run_sync(httpx.create_ssl_context)
            if self._client is None or self._loop is not loop:
                self._client, self._loop = self._make_client(verify), loop
        return self._client

    def _make_client(self, verify: ssl.SSLContext) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=self._connections, max_keepalive_connections=IDLE_CONNECTIONS)
        return httpx.AsyncClient(
            transport=self._transport or GuardedTransport(self._network, verify, limits),
            # The attempt's timeout is the limit of everything but this.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            headers={"user-agent": "gql-app", "accept-encoding": "gzip"},
            # What one run is told must not show in the requests of another.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # No proxies and passwords from the environment.
            trust_env=False,
        )


@asynccontextmanager
async def _sent(client: httpx.AsyncClient, request: HttpRequestInput) -> AsyncIterator[httpx.Response]:
    """Send a request, follow its redirects, and close the last answer at the end of the block."""
    outgoing = _build(client, request)
    for _ in range(MAXIMUM_REDIRECTS + 1):
        response = await client.send(outgoing, stream=True)
        try:
            following = response.next_request if request.follow_redirects else None
            if following is None or request.expects(response.status_code):
                yield response
                return
        finally:
            await response.aclose()
        if _origin(following.url) != _origin(outgoing.url):
            for name in request.headers:
                if name.lower() not in _HEADERS_FOR_ANYBODY:
                    following.headers.pop(name, None)
        outgoing = following
    raise ToolError(
        f"{place(outgoing.url)} is one redirect more than the {MAXIMUM_REDIRECTS} that are followed.",
        type="TooManyRedirects",
        retryable=False,
    )


def _build(client: httpx.AsyncClient, request: HttpRequestInput) -> httpx.Request:
    url = httpx.URL(request.url)
    headers = httpx.Headers(request.headers)
    if (parent := trace_parent()) is not None:
        headers.setdefault("traceparent", parent)
    body: bytes | None = None
    if request.content is not None:
        body, content_type = request.content
        headers.setdefault("content-type", content_type)
    return client.build_request(
        request.method.value,
        url.copy_merge_params(request.query) if request.query else url,
        headers=headers,
        content=body,
    )


@asynccontextmanager
async def _errors(request: HttpRequestInput) -> AsyncIterator[None]:
    """Tell failures of the connection as a tool does."""
    where = place(httpx.URL(request.url))
    try:
        yield
    except httpx.TimeoutException as error:
        raise ToolError(f"{where} could not be reached in {CONNECT_SECONDS:g} s.", type="HttpTimeout") from error
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        # Its message may quote a header.
        raise InvalidInputError(f"{where} cannot be asked this: the request, or a redirect, is not valid.") from error
    except (httpx.TransportError, ssl.SSLError) as error:
        reason = _reason(error)[:_MESSAGE_CHARACTERS].rstrip(".")
        raise ToolError(f"The connection with {where} failed: {reason}.", type="HttpConnectionError") from error


def _reason(error: BaseException) -> str:
    """Say what the system said, which the libraries keep as the cause of the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionError) and cause.errno is not None:
            return os.strerror(cause.errno)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        # Several addresses were tried: the first stands for all.
        cause = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


def _unexpected(response: httpx.Response, now: datetime) -> ToolError:
    status = response.status_code
    retryable = status in RETRYABLE_STATUSES or status >= 500
    return ToolError(
        f"{response.request.method} {place(response.url)} answered {status} {response.reason_phrase}".rstrip()
        + f". To take it as a success, add {status} to `expectedStatuses`.",
        type="HttpStatusError",
        retryable=retryable,
        retry_after=retry_after(response.headers.get("retry-after", ""), now) if retryable else None,
    )


def retry_after(text: str, now: datetime) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date, as seconds from now; None for what is neither."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:20]), _LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), _LONGEST_WAIT)


def place(url: httpx.URL) -> str:
    """Name a URL without what may be secret in it: user, password, query, fragment."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))[:_MESSAGE_CHARACTERS]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
