"""Which addresses `http.request` may connect to."""

from ipaddress import ip_address

import pytest
from pydantic import ValidationError

from gql_app.settings import Posture, Settings
from gql_app.tools.http_reach import Reach

PRODUCTION = Reach(Settings(posture=Posture.PRODUCTION))
DEVELOPMENT = Reach(Settings())

LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
REFUSED = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "2001:20::1",
    "100::1",
    "fec0::1",
    "64:ff9b:1::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:a00:1::1",
    "2002:c0a8:101::",
]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", [*LOOPBACK, *REFUSED])
def test_in_production_only_public_addresses_are_reached(address: str) -> None:
    assert not PRODUCTION.allows("some.example", ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_in_either_posture(address: str) -> None:
    assert PRODUCTION.allows("some.example", ip_address(address))
    assert DEVELOPMENT.allows("some.example", ip_address(address))


@pytest.mark.parametrize("address", LOOPBACK)
def test_in_development_this_machine_is_reached(address: str) -> None:
    assert DEVELOPMENT.allows("some.example", ip_address(address))


@pytest.mark.parametrize("address", REFUSED)
def test_in_development_nothing_else_is_reached(address: str) -> None:
    assert not DEVELOPMENT.allows("some.example", ip_address(address))


def test_a_network_can_be_allowed_in_every_form_of_its_addresses() -> None:
    reach = Reach(Settings(posture=Posture.PRODUCTION, http_allowed_networks=("10.1.0.0/16", "fd12::/32")))

    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::7"):
        assert reach.allows("some.example", ip_address(address))
    for address in ("10.2.0.1", "127.0.0.1", "fd13::7"):
        assert not reach.allows("some.example", ip_address(address))


def test_a_name_can_be_allowed_and_no_other_with_it() -> None:
    reach = Reach(Settings(posture=Posture.PRODUCTION, http_allowed_networks=("Internal.example",)))

    for host in ("internal.example", "INTERNAL.example", "internal.example."):
        assert reach.allows(host, ip_address("10.0.0.1"))
    for host in ("other.internal.example", "internal.example.org", "10.0.0.1"):
        assert not reach.allows(host, ip_address("10.0.0.1"))


@pytest.mark.parametrize("entry", ["10.1.2.3/16", "http://internal.example", "internal.example:80", "10.0.0.0/33", "*"])
def test_what_is_neither_a_network_nor_a_name_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ValidationError, match="neither a network"):
        Settings(http_allowed_networks=(entry,))
