"""URLs that are asked: what makes one, whose it is, and what of it may be shown."""

from typing import Final

import httpx

_MAXIMUM_PORT: Final = 65_535
_SHOWN_CHARACTERS: Final = 200


def check_url(text: str) -> str:
    """Refuse what cannot be asked. Raises `ValueError`; it leaves the URL out, since there may be secrets in it."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError("this is not a URL") from error
    if url.scheme not in ("http", "https"):
        raise ValueError("a URL begins with http:// or https://")
    if not url.host:
        raise ValueError("the URL names no host")
    if url.port is not None and not 0 < url.port <= _MAXIMUM_PORT:
        raise ValueError(f"the URL's port {url.port} is not one of 1 to {_MAXIMUM_PORT}")
    return text


def place(url: httpx.URL) -> str:
    """Name a URL without what may be secret in it: user, password, query, fragment."""
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))[:_SHOWN_CHARACTERS]


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Tell which server a URL belongs to."""
    return url.scheme, url.host, url.port
