"""Requests and redirects of one call of `http.request`, and how they fail."""

import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import anyio
import h2.exceptions
import httpx

from gql_app.core.errors import InvalidInputError, ToolError
from gql_app.telemetry.context import trace_parent
from gql_app.tools.http_input import HttpRequestInput
from gql_app.tools.http_upload import Upload
from gql_app.tools.http_url import check_url, origin, place

MAXIMUM_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
RETRYABLE_STATUSES: Final = frozenset({408, 425, 429})
_MESSAGE_CHARACTERS: Final = 200
_LONGEST_WAIT: Final = 30 * 86_400.0
_HEADERS_FOR_ANYBODY: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})


class Exchange:
    """Sends requests, for all pages of one answer. Once it was led to another server, nothing private is sent."""

    def __init__(self, client: httpx.AsyncClient, request: HttpRequestInput, maximum_upload: int) -> None:
        self._client = client
        self._request = request
        self._maximum_upload = maximum_upload
        self._upload = self._checked(request.upload())
        url = httpx.URL(request.url)
        self.first = url.copy_merge_params(request.query) if request.query else url
        self._private = {name.lower() for name in request.headers} - _HEADERS_FOR_ANYBODY
        if request.auth is not None:
            self._private.add(request.auth.header[0])
        self._is_home = True

    @asynccontextmanager
    async def ask(self, url: httpx.URL, upload: Upload | None = None) -> AsyncIterator[httpx.Response]:
        """Send a request, follow its redirects, and close the last answer at the end of the block.

        `upload` is sent instead of the body that was given.
        """
        with _errors(url):
            outgoing = self._build(url, self._upload if upload is None else self._checked(upload))
            for _ in range(MAXIMUM_REDIRECTS + 1):
                response = await self._client.send(outgoing, stream=True)
                try:
                    following = response.next_request if self._request.follow_redirects else None
                    if following is None or self._request.expects(response.status_code):
                        if not self._request.expects(response.status_code):
                            raise _unexpected(response, datetime.now(UTC))
                        yield response
                        return
                finally:
                    await response.aclose()
                outgoing = self._redirected(following)
            raise ToolError(
                f"{place(outgoing.url)} is one redirect more than the {MAXIMUM_REDIRECTS} that are followed.",
                type="TooManyRedirects",
                retryable=False,
            )

    def _checked(self, upload: Upload | None) -> Upload | None:
        if upload is not None and upload.size > self._maximum_upload:
            raise ToolError(
                f"The request's body has {upload.size} bytes; the limit is {self._maximum_upload}. Send less of it.",
                type="RequestTooLarge",
                retryable=False,
            )
        return upload

    def _build(self, url: httpx.URL, upload: Upload | None) -> httpx.Request:
        headers = httpx.Headers(self._request.headers)
        if self._request.auth is not None:
            name, value = self._request.auth.header
            headers[name] = value
        if (parent := trace_parent()) is not None:
            headers.setdefault("traceparent", parent)
        if upload is not None:
            headers.setdefault("content-type", upload.content_type)
            headers["content-length"] = str(upload.size)
        request = self._client.build_request(self._request.method.value, url, headers=headers, content=upload)
        self._keep_private(request)
        return request

    def _redirected(self, request: httpx.Request) -> httpx.Request:
        try:
            check_url(str(request.url))
        except ValueError as error:
            raise httpx.InvalidURL(str(error)) from error
        self._keep_private(request)
        return request

    def _keep_private(self, request: httpx.Request) -> None:
        """Take out what is for the first server only, once another one has had a say."""
        self._is_home = self._is_home and origin(request.url) == origin(self.first)
        if not self._is_home:
            for name in self._private:
                request.headers.pop(name, None)
            request.headers["host"] = request.url.netloc.decode("ascii")


@contextmanager
def _errors(url: httpx.URL) -> Iterator[None]:
    """Tell failures of the connection as a tool does."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise ToolError(f"{place(url)} could not be reached in {CONNECT_SECONDS:g} s.", type="HttpTimeout") from error
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        # Its message may quote a header.
        raise InvalidInputError(
            f"{place(url)} cannot be asked this: the request, or a redirect, is not valid."
        ) from error
    except (httpx.TransportError, ssl.SSLError, anyio.EndOfStream, h2.exceptions.ProtocolError) as error:
        reason = _reason(error)[:_MESSAGE_CHARACTERS].rstrip(".")
        raise ToolError(f"The connection with {place(url)} failed: {reason}.", type="HttpConnectionError") from error


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
    return str(error) or "it was closed"


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
