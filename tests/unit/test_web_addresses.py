"""What a server makes of the host it is bound to."""

import pytest

from gql_app.web.hosts import is_loopback
from gql_app.web.server import address, greeting


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_a_host_that_only_this_machine_reaches_is_loopback(host: str) -> None:
    assert is_loopback(host)
    assert "Beware" not in greeting(host, "http://localhost:8000")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "workflows.example", "localhost.example"])
def test_any_other_host_is_warned_of(host: str) -> None:
    assert not is_loopback(host)
    assert "Beware" in greeting(host, "http://localhost:8000")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
    ],
)
def test_an_address_can_be_opened_in_a_browser(host: str, url: str) -> None:
    assert address(host, 8000) == url
