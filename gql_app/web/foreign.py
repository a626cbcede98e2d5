"""Keeps pages of other sites from asking by GET, which browsers let them do without a preflight."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from gql_app.web.refusals import RefusedRequestError

_FOREIGN: Final = frozenset({b"cross-site", b"same-site"})


def check_site(headers: Mapping[bytes, bytes], allowed_origins: Collection[str]) -> None:
    """Refuse a request that a browser says is of another origin's page, unless the settings allow that origin.

    All browsers since 2023 say so (Fetch Metadata). Programs do not, and are not kept from anything.
    """
    origin = headers.get(b"origin")
    if origin is not None and origin.decode("latin-1").lower() in allowed_origins:
        return
    ours = headers.get(b"sec-fetch-site") == b"same-origin" or (
        origin is not None and origin.partition(b"://")[2].lower() == headers.get(b"host", b"").lower()
    )
    if ours or (origin is None and headers.get(b"sec-fetch-site") not in _FOREIGN):
        return
    message = "Pages of other origins are not answered here; GQL_APP_ALLOWED_ORIGINS names those that are."
    raise RefusedRequestError(HTTPStatus.FORBIDDEN, "FORBIDDEN_ORIGIN", message)
