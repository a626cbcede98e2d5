"""Websockets on virtual time: who is let in and for how long, who is taken for dead, and what ends with what."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from starlette.requests import HTTPConnection

from gql_app.core.access import Identity, Scope
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.schema import operations
from gql_app.settings import Settings
from gql_app.storage.memory import MemoryRunRepository
from gql_app.testing.virtual_time import run_on_virtual_time
from gql_app.web.gate import Gate, UnauthenticatedError
from gql_app.web.sockets.connection import INIT_SECONDS, PING_SECONDS
from tests.support.played_socket import PlayedSocket, Sockets
from tests.support.service import Stage, node

WATCH = operations.load("WorkflowUpdates")
HEALTH = "{ health { status } }"


class Doorkeeper(Gate):
    """Lets in who brings a token, until the test takes it back."""

    def __init__(self) -> None:
        self.watched: list[str] = []
        self._revoked: dict[str, asyncio.Event] = {}

    async def admit(self, connection: HTTPConnection, payload: Mapping[str, Json] | None = None) -> Identity:
        token = (payload or {}).get("token")
        if not isinstance(token, str):
            raise UnauthenticatedError("Bring a token.")
        return Identity(name=token, scopes=frozenset(Scope))

    async def until_invalid(self, identity: Identity) -> str:
        self.watched.append(identity.name)
        await self._revocation(identity.name).wait()
        return "The token is no good any more."

    def revoke(self, token: str) -> None:
        """Take a token back, from those who have it now."""
        self._revocation(token).set()
        del self._revoked[token]

    def _revocation(self, token: str) -> asyncio.Event:
        return self._revoked.setdefault(token, asyncio.Event())


class BrokenGate(Gate):
    """Lets everybody in, and fails to say for how long."""

    async def until_invalid(self, identity: Identity) -> str:
        raise OSError("The file of keys is gone.")


class CountingRepository(MemoryRunRepository):
    """Counts who waits for more of a run."""

    waiting = 0

    async def wait(self, namespace: Namespace, run_id: RunId, *, after: int) -> None:
        self.waiting += 1
        try:
            await super().wait(namespace, run_id, after=after)
        finally:
            self.waiting -= 1


def test_who_does_not_introduce_itself_in_time_is_closed_however_often_it_pings() -> None:
    async def main() -> None:
        async with Sockets(Stage()).open() as socket:
            await asyncio.sleep(INIT_SECONDS - 0.001)
            socket.send(type="ping")
            assert await socket.receive() == {"type": "pong"}

            assert await socket.closed() == (4408, "Connection initialisation timeout")
            assert now() == INIT_SECONDS

    run_on_virtual_time(main())


def test_who_is_silent_is_asked_whether_it_is_there_and_closed_without_an_answer() -> None:
    async def main() -> None:
        async with Sockets(Stage()).connect() as socket:
            assert await socket.receive() == {"type": "ping"}
            assert now() == PING_SECONDS

            code, reason = await socket.closed()

            assert (code, now()) == (4499, 2 * PING_SECONDS)
            assert "no pong" in reason

    run_on_virtual_time(main())


@pytest.mark.parametrize("message", [{"type": "pong"}, {"type": "ping"}, {"type": "complete", "id": "nothing"}])
def test_who_says_anything_is_taken_for_alive(message: Json) -> None:
    async def main() -> None:
        async with Sockets(Stage()).connect() as socket:
            for _ in range(5):
                while await socket.receive() != {"type": "ping"}:
                    pass
                await asyncio.sleep(PING_SECONDS - 0.001)
                socket.send(**message)
            assert (await socket.closed())[0] == 4499
            # It is asked once it has been silent for so long since it spoke last.
            assert now() == pytest.approx(5 * (2 * PING_SECONDS - 0.001) + 2 * PING_SECONDS)

    run_on_virtual_time(main())


def test_who_is_not_let_in_is_told_why() -> None:
    async def main() -> None:
        async with Sockets(Stage(), gate=Doorkeeper()).open() as socket:
            socket.send(type="connection_init")

            assert await socket.closed() == (4403, "Forbidden: Bring a token.")

    run_on_virtual_time(main())


def test_all_connections_of_a_token_end_with_it_and_those_of_others_go_on() -> None:
    async def main() -> None:
        gate, stage = Doorkeeper(), Stage(repository=CountingRepository)
        sockets, run_id = Sockets(stage, gate=gate), await stage.submit(node("a"))
        mine, yours = {"token": "mine"}, {"token": "yours"}
        async with sockets.connect(mine) as one, sockets.connect(mine) as two, sockets.connect(yours) as other:
            for socket in (one, two, other):
                await watch(socket, run_id)
            assert gate.watched == ["mine", "yours"]

            gate.revoke("mine")

            for socket in (one, two):
                assert await socket.closed() == (4403, "Forbidden: The token is no good any more.")
            await stage.executor.succeed(run_id, "a")
            assert (await other.receive())["type"] == "next"
            async with sockets.connect(mine):
                await settle()
                assert gate.watched == ["mine", "yours", "mine"]

    run_on_virtual_time(main())


def test_a_connection_that_reads_nothing_hears_nothing_more_once_its_token_is_taken_back() -> None:
    async def main() -> None:
        gate, stage = Doorkeeper(), Stage(repository=CountingRepository)
        sockets, run_id = Sockets(stage, gate=gate), await stage.submit(node("a"))
        async with sockets.connect({"token": "mine"}) as socket:
            await watch(socket, run_id)
            socket.reading.clear()
            socket.send(type="ping")
            await settle()
            await stage.executor.succeed(run_id, "a")
            await settle()

            gate.revoke("mine")
            await settle()
            assert waiting(stage) == 0
            socket.reading.set()

            assert await socket.receive() == {"type": "pong"}
            assert (await socket.events.get())["type"] == "websocket.close"

    run_on_virtual_time(main())


def test_when_nobody_can_tell_how_long_one_may_stay_one_may_not() -> None:
    async def main() -> None:
        async with Sockets(Stage(), gate=BrokenGate()).connect() as socket:
            code, _ = await socket.closed()

        assert code == 4403

    run_on_virtual_time(main())


def test_a_subscription_that_its_client_completes_stops_at_once_and_its_id_is_free() -> None:
    async def main() -> None:
        stage = Stage(repository=CountingRepository)
        run_id = await stage.submit(node("a"))
        async with Sockets(stage).connect() as socket:
            await watch(socket, run_id)
            assert waiting(stage) == 1

            socket.send(id="1", type="complete")
            await settle()
            assert waiting(stage) == 0
            await stage.executor.succeed(run_id, "a")
            socket.subscribe(HEALTH)

            assert (await socket.receive())["payload"]["data"] == {"health": {"status": "OK"}}
            assert await socket.receive() == {"id": "1", "type": "complete"}

    run_on_virtual_time(main())


def test_an_id_is_free_again_in_the_same_breath() -> None:
    async def main() -> None:
        stage = Stage()
        run_id = await stage.submit(node("a"))
        async with Sockets(stage).connect() as socket:
            await watch(socket, run_id)
            socket.send(id="1", type="complete")
            socket.subscribe(WATCH, {"id": run_id, "after": 1})
            first = await socket.receive()
            await stage.executor.succeed(run_id, "a")
            second = await socket.receive()

        assert first["payload"]["data"]["workflowUpdates"]["events"][0]["sequence"] == 2
        assert second["payload"]["data"]["workflowUpdates"]["events"][0]["sequence"] == 4

    run_on_virtual_time(main())


def test_what_a_client_has_asked_for_stops_when_it_goes() -> None:
    async def main() -> None:
        stage = Stage(repository=CountingRepository)
        run_id = await stage.submit(node("a"))
        async with Sockets(stage).connect() as socket:
            await watch(socket, run_id)
            assert waiting(stage) == 1

            socket.leave()
            await settle()

            assert waiting(stage) == 0

    run_on_virtual_time(main())


def test_who_reads_nothing_is_told_in_one_what_it_missed() -> None:
    async def main() -> None:
        stage = Stage()
        run_id = await stage.submit(*(node(name) for name in "abcd"))
        async with Sockets(stage).connect() as slow, Sockets(stage).connect() as quick:
            for socket in (slow, quick):
                await watch(socket, run_id)
            slow.reading.clear()
            for name in "abc":
                await stage.executor.succeed(run_id, name)
                assert (await quick.receive())["type"] == "next"
            assert slow.events.empty()

            slow.reading.set()
            told = [await slow.receive(), await slow.receive()]

        assert [sequences(message) for message in told] == [[7], [8, 9]]

    run_on_virtual_time(main())


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://here.example", "here.example", ()),
        ("http://here.example", "here.example:80", ()),
        ("https://here.example:443", "HERE.example", ()),
        ("https://HERE.example", "here.example:443", ()),
        ("http://there.example:80", "here.example", ("http://there.example",)),
        ("http://there.example", "here.example", ("http://there.example:80",)),
    ],
)
def test_an_origin_is_known_however_it_is_written(origin: str, host: str, allowed: Sequence[str]) -> None:
    async def main() -> None:
        sockets = Sockets(Stage(Settings(allowed_origins=tuple(allowed))))
        async with sockets.open(headers=[(b"origin", origin.encode()), (b"host", host.encode())]) as socket:
            assert (await socket.events.get())["type"] == "websocket.accept"

    run_on_virtual_time(main())


@pytest.mark.parametrize("origin", ["http://there.example", "http://here.example:81", "null", "here.example", ""])
def test_a_foreign_page_is_refused_before_anything_is_read(origin: str) -> None:
    async def main() -> None:
        headers = [(b"origin", origin.encode()), (b"host", b"here.example")]
        async with Sockets(Stage()).open(headers=headers) as socket:
            assert await socket.events.get() == {"type": "websocket.close", "code": 1008}

    run_on_virtual_time(main())


def test_a_page_that_its_browser_knows_to_be_ours_may_connect_whatever_its_host_is_called_here() -> None:
    async def main() -> None:
        headers = [(b"origin", b"https://public.example"), (b"host", b"inside"), (b"sec-fetch-site", b"same-origin")]
        async with Sockets(Stage()).open(headers=headers) as socket:
            assert (await socket.events.get())["type"] == "websocket.accept"

    run_on_virtual_time(main())


@pytest.mark.parametrize("protocols", [(), ("graphql-ws",), ("GRAPHQL-TRANSPORT-WS",)])
def test_who_does_not_speak_the_protocol_is_told_which_it_is(protocols: Sequence[str]) -> None:
    async def main() -> None:
        async with Sockets(Stage()).open(protocols=protocols) as socket:
            assert await socket.events.get() == {"type": "websocket.accept"}
            assert await socket.closed() == (4406, "Subprotocol not acceptable; speak graphql-transport-ws")

    run_on_virtual_time(main())


async def watch(socket: PlayedSocket, run_id: str) -> None:
    """Subscribe to what will happen, and read what is so now."""
    socket.subscribe(WATCH, {"id": run_id})
    assert (await socket.receive())["type"] == "next"
    await settle()


async def settle() -> None:
    """Let everything go on until it waits for something."""
    await asyncio.sleep(0.001)


def now() -> float:
    return asyncio.get_running_loop().time()


def waiting(stage: Stage) -> int:
    assert isinstance(stage.repository, CountingRepository)
    return stage.repository.waiting


def sequences(message: Json) -> list[int]:
    return [event["sequence"] for event in message["payload"]["data"]["workflowUpdates"]["events"]]
