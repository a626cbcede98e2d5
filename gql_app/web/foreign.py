"""Keeps pages of other sites from asking by GET or opening websockets, which browsers let them do unasked."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final

from gql_app.web.refusals import RefusedRequestError

_FOREIGN: Final = frozenset({b"cross-site", b"same-site"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def check_site(headers: Mapping[bytes, bytes], allowed_origins: Collection[str]) -> None:
    """Refuse a request that a browser says is of another origin's page, unless the settings allow that origin.

    All browsers since 2023 say so (Fetch Metadata), and for websockets all ever did. Programs do not, and are not kept
    from anything.
    """
    origin = headers.get(b"origin")
    if origin is not None and _written(origin.decode("latin-1")) in map(_written, allowed_origins):
        return
    ours = headers.get(b"sec-fetch-site") == b"same-origin" or (
        origin is not None and _is_at(origin.decode("latin-1"), headers.get(b"host", b"").decode("latin-1"))
    )
    if ours or (origin is None and headers.get(b"sec-fetch-site") not in _FOREIGN):
        return
    message = "Pages of other origins are not answered here; GQL_APP_ALLOWED_ORIGINS names those that are."
    raise RefusedRequestError(HTTPStatus.FORBIDDEN, "FORBIDDEN_ORIGIN", message)


def _is_at(origin: str, host: str) -> bool:
    """Whether an origin is that of a host. The scheme may differ: something in between may have taken TLS off."""
    scheme, separator, _ = origin.partition("://")
    return _written(origin) == _written(f"{scheme}{separator}{host}")


def _written(origin: str) -> str:
    """Write an origin as browsers do: in lower case, without the port that its scheme has anyway."""
    scheme, separator, address = origin.lower().partition("://")
    return f"{scheme}{separator}{address.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}"
