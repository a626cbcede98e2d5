"""What a server makes of the host it is bound to."""

import pytest

from gql_app.settings import Posture, Settings
from gql_app.web.hosts import is_loopback
from gql_app.web.server import ExposedError, address, check_exposure, greeting


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1"])
def test_a_host_that_only_this_machine_reaches_is_loopback(host: str) -> None:
    assert is_loopback(host)
    assert "Beware" not in greeting(Settings(host=host), "http://localhost:8000")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "workflows.example", "localhost.example"])
def test_any_other_host_is_refused_unless_one_insists_and_warned_of_then(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ExposedError, match="--insecure"):
        check_exposure(Settings(host=host))
    check_exposure(Settings(host=host, insecure=True))
    assert "Beware" in greeting(Settings(host=host), "http://localhost:8000")


def test_a_service_that_asks_who_comes_may_listen_anywhere() -> None:
    settings = Settings(host="0.0.0.0", keys_file="keys.json", posture=Posture.PRODUCTION)

    check_exposure(settings)
    told = greeting(settings, "http://localhost:8000")

    assert "Beware" not in told
    assert "API keys in keys.json" in told
    assert "GraphiQL" not in told


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
