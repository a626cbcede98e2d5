"""Which addresses `http.request` may connect to: public ones, and what an operator allows."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

from gql_app.settings import Posture, Settings

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_NOT_PUBLIC: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT; the metadata of some clouds
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host of a virtual machine, in one cloud
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
    )
)
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
"""All that is handed out for use on the internet; everything else is local, special or to come."""
_NOT_PUBLIC_IPV6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo and other protocols
        "2001:db8::/32",
        "3fff::/20",
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_TRANSLATED: Final = (IPv6Network("::/96"), IPv6Network("::ffff:0:0/96"), _NAT64)
"""Where the last four bytes are an IPv4 address."""


class Reach:
    """What may be connected to, by one service's settings."""

    def __init__(self, settings: Settings) -> None:
        self.tells_addresses = settings.posture is Posture.DEVELOPMENT
        networks: list[Network] = [*_LOOPBACK] if settings.posture is Posture.DEVELOPMENT else []
        names: set[str] = set()
        for entry in settings.http_allowed_networks:
            network = _as_network(entry)
            if network is None:
                names.add(entry.rstrip("."))
            else:
                networks.append(network)
        self._networks: Sequence[Network] = networks
        self._names = frozenset(names)

    def allows(self, host: str, address: Address) -> bool:
        """Tell whether this address of a host may be connected to."""
        return (
            host.lower().rstrip(".") in self._names
            or any(address in network for network in self._networks)
            or _is_allowed_or_public(address, self._networks)
        )


def _is_allowed_or_public(address: Address, allowed: Sequence[Network]) -> bool:
    """Judge an IPv6 address that stands for an IPv4 address by that one."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in allowed) or not any(address in bad for bad in _NOT_PUBLIC)
    inner = list(_inside(address))
    if inner:
        return all(_is_allowed_or_public(one, allowed) for one in inner)
    return address in _PUBLIC_IPV6 and not any(address in bad for bad in _NOT_PUBLIC_IPV6)


def _inside(address: IPv6Address) -> Iterator[IPv4Address]:
    """Give the IPv4 address where the packets for an IPv6 address may end."""
    if any(address in network for network in _TRANSLATED):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    elif address.sixtofour is not None:
        yield address.sixtofour


def _as_network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
