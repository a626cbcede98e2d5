"""Subscriptions as parts of one answer, by Apollo's protocol for them."""

from typing import Final

from gql_app.schema.execution import Answer
from gql_app.web.encoding import encode

_BOUNDARY: Final = b"\r\n--graphql"
_PART: Final = b"\r\ncontent-type: application/json\r\n\r\n%b" + _BOUNDARY
_END: Final = b"--\r\n"
_STOPPING: Final = "The server stops. Subscribe again, after the last sequence you have."


class Parts:
    """Writes results as parts. The boundary follows a part at once: only with it is the part known to have ended."""

    content_type: Final = b'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'
    opening: Final = _BOUNDARY
    ping: Final = _PART % b"{}"
    completed: Final = _END

    def result(self, answer: Answer) -> bytes:
        """Write a result."""
        return _PART % (b'{"payload":%b}' % answer.body)

    @property
    def interrupted(self) -> bytes:
        """Write that the server stops."""
        return _transport_error("SERVER_STOPPING", _STOPPING)

    def dismissed(self, reason: str) -> bytes:
        """Write that a client is no longer let in."""
        return _transport_error("UNAUTHENTICATED", reason)


def _transport_error(code: str, message: str) -> bytes:
    """Write an error that is not of the operation, and that nothing comes after."""
    error = {"message": message, "extensions": {"code": code}}
    return _PART % encode({"payload": None, "errors": [error]}) + _END
