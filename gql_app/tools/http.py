"""The tool `http.request`."""

import asyncio
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Final

import anyio.to_thread
import httpcore
import httpx
from pydantic import BaseModel, Field

from gql_app.core.plan import ToolDefinition
from gql_app.core.values import Json
from gql_app.ports import ToolContext
from gql_app.settings import Settings
from gql_app.tools.decorator import tool
from gql_app.tools.http_body import ResponseType, decode_body, find, read_body
from gql_app.tools.http_exchange import CONNECT_SECONDS, Exchange
from gql_app.tools.http_input import HttpRequestInput
from gql_app.tools.http_network import GuardedBackend, GuardedTransport
from gql_app.tools.http_pages import Collected, Page, Pages
from gql_app.tools.http_reach import Reach
from gql_app.tools.http_stopping import stoppable
from gql_app.tools.http_stream import read_stream
from gql_app.tools.http_upload import of_json

IDLE_CONNECTIONS: Final = 32


class PagesRead(BaseModel):
    """What was read of an answer in pages."""

    count: Annotated[int, Field(description="How many pages were read.")]
    next: Annotated[
        str | None,
        Field(description="The URL or the cursor of the page that comes next; null after the last."),
    ] = None


class HttpResponse(BaseModel):
    """The answer; of several pages, the last one's, with the items of all."""

    status: Annotated[int, Field(description="The status code.")]
    http_version: Annotated[
        str, Field(serialization_alias="httpVersion", description="`HTTP/1.1` or `HTTP/2`, as the server chose.")
    ]
    headers: Annotated[dict[str, str], Field(description="The headers; their names are in lower case.")]
    body: Annotated[
        Json,
        Field(
            description="What `select`, `stream`, `pages` and `responseType` make of it; without them, JSON if the"
            " content type says so (null for JSON without a body), else text."
        ),
    ]
    url: Annotated[
        str, Field(description="Where the answer came from, after all redirects, without user and password.")
    ]
    pages: Annotated[PagesRead | None, Field(description="What was read; null without `pages`.")] = None


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
        self._maximum_upload = settings.maximum_upload_bytes
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
        return await stoppable(self._tool.call(arguments, context))

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
        exchange = Exchange(await self._open(), request, self._maximum_upload)
        if request.pages is not None:
            return await self._read_pages(exchange, request, request.pages, context)
        async with exchange.ask(exchange.first) as response:
            return _answer(response, await self._read(response, request, context))

    async def _read(self, response: httpx.Response, request: HttpRequestInput, context: ToolContext) -> Json:
        if request.stream is not None:
            return await read_stream(
                response,
                request.stream,
                request.select,
                maximum=min(self._maximum, context.maximum_output_bytes),
                heartbeat=context.heartbeat,
                emit=context.emit,
            )
        data = await read_body(response, self._maximum, context.heartbeat)
        if request.select is None:
            return decode_body(response, data, request.response_type)
        return find(decode_body(response, data, ResponseType.JSON), request.select)

    async def _read_pages(
        self, exchange: Exchange, request: HttpRequestInput, pages: Pages, context: ToolContext
    ) -> HttpResponse:
        collected = Collected(min(self._maximum, context.maximum_output_bytes))
        page = Page(exchange.first, request.json_body)
        while True:
            collected.expect(page)
            upload = None if pages.field is None else of_json(page.json)
            async with exchange.ask(page.url, upload) as response:
                data = await read_body(response, self._maximum, context.heartbeat)
                body = decode_body(response, data, ResponseType.JSON)
                collected.add(find(body, request.select or ""), request.select)
                following = pages.following(collected.count, response, body, page)
            context.progress(message=f"page {collected.count}, {len(collected.items)} items so far")
            if following is None or collected.count == pages.maximum:
                read = PagesRead(count=collected.count, next=None if following is None else following.shown)
                return _answer(response, collected.items, read)
            page = following

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


def _answer(response: httpx.Response, body: Json, pages: PagesRead | None = None) -> HttpResponse:
    return HttpResponse(
        status=response.status_code,
        http_version=response.http_version,
        headers=dict(response.headers),
        body=body,
        url=str(response.url.copy_with(userinfo=b"")),
        pages=pages,
    )
