"""The tool `http.request` and the addresses it must not reach, over real connections."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

import httpcore
import pytest
from httpcore import SOCKET_OPTION, AsyncNetworkStream

from gql_app import ToolError
from gql_app.core.values import Json
from gql_app.settings import Posture, Settings
from gql_app.tools.http import HttpRequest
from gql_app.tools.http_network import GuardedBackend
from gql_app.tools.http_reach import Address, Reach
from tests.support.http_answers import answer, served
from tests.support.tools import CONTEXT

pytestmark = pytest.mark.anyio

PRIVATE = "10.0.0.1"
PUBLIC = "127.0.0.1"
"""Stands for the internet: it is allowed, and answers."""
SILENT = "127.0.0.3"
"""Is allowed, too, but nobody listens there."""
STRICT = Settings(posture=Posture.PRODUCTION)
SETTINGS = Settings(posture=Posture.PRODUCTION, http_allowed_networks=(f"{PUBLIC}/32", f"{SILENT}/32"))


class Names:
    """Answers for names, one answer after the other; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        texts = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(text) for text in texts]


class WatchedNetwork(httpcore.AnyIOBackend):
    """The real network, which remembers what was connected to."""

    def __init__(self) -> None:
        self.connected: list[str] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        self.connected.append(host)
        return await super().connect_tcp(host, port, timeout, local_address, socket_options)


class Caller:
    """The tool, with names that mean what the test says."""

    def __init__(self, *answers: Sequence[str], settings: Settings = SETTINGS) -> None:
        self.names = Names(*answers)
        self.network = WatchedNetwork()
        backend = GuardedBackend(Reach(settings), resolve=self.names.resolve, backend=self.network)
        self._tool = HttpRequest(settings, network=backend)

    async def get(self, url: str) -> Json:
        return await self._tool.call(self._tool.parse({"url": url}), CONTEXT)

    async def refused(self, url: str) -> ToolError:
        with pytest.raises(ToolError) as caught:
            await self.get(url)
        assert (caught.value.type, caught.value.retryable) == ("AddressNotAllowed", False)
        return caught.value

    async def close(self) -> None:
        await self._tool.aclose()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "[::1]", "[::ffff:7f00:1]"]
)
async def test_however_this_machine_is_written_it_is_not_reached_in_production(host: str) -> None:
    tool = HttpRequest(STRICT)
    async with served(page=answer()) as server:
        with pytest.raises(ToolError) as caught:
            await tool.call(tool.parse({"url": f"http://{host}:{server.port}/page"}), CONTEXT)

        assert (caught.value.type, caught.value.retryable) == ("AddressNotAllowed", False)
        assert server.connections == 0
    await tool.aclose()


async def test_a_public_name_is_reached_under_its_name() -> None:
    caller = Caller([PUBLIC])
    async with served(page=answer(body=b"hello")) as server:
        result = await caller.get(f"http://public.example:{server.port}/page")

        assert result["body"] == "hello"
        assert server.asked[0][1]["host"] == f"public.example:{server.port}"
    await caller.close()


async def test_a_name_that_means_another_address_later_is_checked_again() -> None:
    caller = Caller([PUBLIC], [PRIVATE])
    async with served(page=answer(connection="close")) as server:
        url = f"http://rebinding.example:{server.port}/page"
        await caller.get(url)
        await caller.refused(url)

    assert caller.network.connected == [PUBLIC]
    assert caller.names.asked == ["rebinding.example"] * 2
    await caller.close()


async def test_a_connection_that_is_used_again_is_the_one_that_was_checked() -> None:
    caller = Caller([PUBLIC], [PRIVATE])
    async with served(page=answer()) as server:
        url = f"http://rebinding.example:{server.port}/page"
        await caller.get(url)
        await caller.get(url)

    assert caller.network.connected == [PUBLIC]
    assert caller.names.asked == ["rebinding.example"]
    await caller.close()


@pytest.mark.parametrize("answers", [[PRIVATE, PUBLIC], ["::1", "169.254.169.254", PUBLIC]])
async def test_of_several_addresses_only_the_public_ones_are_connected_to(answers: list[str]) -> None:
    caller = Caller(answers)
    async with served(page=answer()) as server:
        await caller.get(f"http://mixed.example:{server.port}/page")

    assert caller.network.connected == [PUBLIC]
    await caller.close()


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    caller = Caller([SILENT, PUBLIC])
    async with served(page=answer(body=b"hello")) as server:
        result = await caller.get(f"http://public.example:{server.port}/page")

    assert result["body"] == "hello"
    assert caller.network.connected == [SILENT, PUBLIC]
    await caller.close()


async def test_addresses_that_all_refuse_are_told_as_the_first_one_is() -> None:
    caller = Caller([SILENT])

    with pytest.raises(ToolError, match="Connection refused") as caught:
        await caller.get("http://public.example:9/page")

    assert caught.value.type == "HttpConnectionError"
    await caller.close()


async def test_a_name_without_an_address_is_a_connection_error() -> None:
    caller = Caller([])

    with pytest.raises(ToolError, match="has no address") as caught:
        await caller.get("http://nobody.example/")

    assert (caught.value.type, caught.value.retryable) == ("HttpConnectionError", True)
    await caller.close()


@pytest.mark.parametrize("target", ["http://metadata.example/latest/meta-data", "http://[fd00:ec2::254]/latest"])
async def test_a_redirect_to_an_address_that_is_not_public_is_not_followed(target: str) -> None:
    caller = Caller([PUBLIC], ["169.254.169.254"])
    async with served(page=answer(302, location=target)) as server:
        await caller.refused(f"http://public.example:{server.port}/page")

    assert caller.network.connected == [PUBLIC]
    await caller.close()


async def test_a_redirect_to_a_file_is_not_followed() -> None:
    caller = Caller([PUBLIC])
    async with served(page=answer(302, location="file:///etc/passwd")) as server:
        with pytest.raises(ToolError, match="is not valid") as caught:
            await caller.get(f"http://public.example:{server.port}/page")

    assert caught.value.type == "InvalidInput"
    await caller.close()


async def test_an_allowed_name_is_reached_wherever_it_is() -> None:
    caller = Caller([PUBLIC], settings=Settings(posture=Posture.PRODUCTION, http_allowed_networks=("inside.example",)))
    async with served(page=answer()) as server:
        assert (await caller.get(f"http://inside.example:{server.port}/page"))["status"] == 200
        await caller.refused(f"http://outside.example:{server.port}/page")
    await caller.close()


async def test_the_error_names_the_host_and_the_way_out_and_in_production_no_address() -> None:
    error = await Caller([PRIVATE]).refused("http://internal.example/?token=hush")

    assert str(error) == (
        "'internal.example' is not a public address, and `http.request` may reach no other here. Whoever runs the"
        " service can allow it in GQL_APP_HTTP_ALLOWED_NETWORKS."
    )


async def test_in_development_the_error_tells_the_address_too() -> None:
    error = await Caller([PRIVATE], settings=Settings()).refused("http://internal.example/")

    assert str(error).startswith("'internal.example' (10.0.0.1) is not a public address")
