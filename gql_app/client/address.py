"""Where a service is, the addresses made of its URL, and with what one is let in."""

from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec


class Address(msgspec.Struct, frozen=True):
    """The URL of a service, without a slash at its end."""

    url: str

    @property
    def graphql(self) -> str:
        """Where GraphQL is spoken over HTTP."""
        return f"{self.url}/graphql"

    @property
    def websocket(self) -> str:
        """Where GraphQL is spoken over websockets."""
        return f"ws{self.graphql.removeprefix('http')}"

    @property
    def is_local(self) -> bool:
        """Whether it is this machine, where no proxy leads."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def parse_address(url: str) -> Address:
    """Read the URL of a service, or that of its `/graphql`. Raises `ValueError` for what is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{url!r} is not the URL of a server; write one such as http://127.0.0.1:8000.")
    return Address(url.rstrip("/").removesuffix("/graphql"))


def parse_token(token: str | None) -> str | None:
    """Take what says who asks, if anything does. Raises `ValueError` for what cannot stand in a header."""
    if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
        raise ValueError("The token is empty, or has characters that no token has; it was perhaps not copied whole.")
    return token
