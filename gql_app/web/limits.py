"""Keeps requests from being bigger than the service is willing to read."""

import sys
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gql_app.web.refusals import refuse

_DIGITS: Final = 19
_DRAINED_BYTES: Final = 16 << 20
"""How much of a body that is refused is read and dropped, so that its sender gets to hear why."""


class RequestTooLargeError(Exception):
    """The body has more bytes than are read. Let it pass: the middleware answers."""


class BodyLimit:
    """Answers 413 to bodies of more than `maximum` bytes, announced or not, without ever holding more of them."""

    def __init__(self, app: ASGIApp, maximum: int) -> None:
        self.app = app
        self.maximum = maximum

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that counts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = _announced(scope)
        if announced is not None and announced <= self.maximum:
            # No server reads more of a body than was announced.
            await self.app(scope, receive, send)
            return
        body = _CountedBody(receive, self.maximum)
        try:
            if announced is not None:
                raise RequestTooLargeError
            await self.app(scope, body.receive, send)
        except RequestTooLargeError:
            if "expect" not in Headers(scope=scope):
                await body.drain(_DRAINED_BYTES)
            message = f"The request has more than {self.maximum} bytes; GQL_APP_MAXIMUM_REQUEST_BYTES sets the limit."
            answer = refuse(
                scope,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "REQUEST_TOO_LARGE",
                message,
                headers={"connection": "close"},
                maximum=self.maximum,
            )
            await answer(scope, receive, send)


class _CountedBody:
    def __init__(self, receive: Receive, maximum: int) -> None:
        self._receive = receive
        self._maximum = maximum
        self._count = 0
        self._more = True

    async def receive(self) -> Message:
        message = await self._next()
        if self._count > self._maximum:
            raise RequestTooLargeError
        return message

    async def drain(self, maximum: int) -> None:
        while self._more and self._count <= maximum:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._count += len(message.get("body", b""))
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message


def _announced(scope: Scope) -> int | None:
    """Tell how long the body is said to be; None if nothing is said."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value) if len(value) < _DIGITS else sys.maxsize
    return None
