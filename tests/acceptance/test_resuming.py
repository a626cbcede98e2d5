"""One contract on every transport: who comes back after the last sequence misses nothing and sees nothing twice."""

import json
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress

import httpx
import pytest
from websockets.exceptions import WebSocketException

from gql_app.core.values import Json
from tests.support.cutting_relay import CuttingRelay, cutting_relay
from tests.support.documents import WATCH, document, submit
from tests.support.gate import Turnstile
from tests.support.server import LONGEST_WAIT, RunningServer, live_server
from tests.support.socket_client import connect

pytestmark = pytest.mark.anyio

NODES = 500
CUTS = 200
FURTHEST_CUT = 2_500
"""Bytes after which a connection is cut at the latest: some updates beyond its beginning."""
AT_ONCE = 4

Updates = AsyncGenerator[Json, None]
Watch = Callable[[RunningServer, Json], Updates]


@pytest.fixture
def turnstile() -> Iterator[Turnstile]:
    with Turnstile() as turnstile:
        yield turnstile


@pytest.fixture
def server(turnstile: Turnstile) -> Iterator[RunningServer]:
    with live_server(tools=[turnstile.tool]) as running:
        yield running
        turnstile.open()


async def over_websocket(server: RunningServer, variables: Json) -> Updates:
    async with connect(server.ws_url) as socket:
        async for result in socket.results(WATCH, variables):
            yield result["workflowUpdates"]


async def over_events(server: RunningServer, variables: Json) -> Updates:
    async with aclosing(stream(server, variables, "text/event-stream", "\n\n")) as events:
        async for event in events:
            fields = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
            if event.startswith("event: complete"):
                return
            if fields.get("event") == "next":
                update = json.loads(fields["data"])["data"]["workflowUpdates"]
                assert fields["id"] == str(update["sequence"])
                yield update
    raise ConnectionError("The stream has broken off.")


async def over_parts(server: RunningServer, variables: Json) -> Updates:
    media_type = "multipart/mixed; subscriptionSpec=1.0"
    async with aclosing(stream(server, variables, media_type, "\r\n--graphql")) as parts:
        async for part in parts:
            if part.startswith("--"):
                return
            body = json.loads(part.partition("\r\n\r\n")[2] or "{}")
            if "payload" in body:
                yield body["payload"]["data"]["workflowUpdates"]
    raise ConnectionError("The stream has broken off.")


async def stream(server: RunningServer, variables: Json, accept: str, separator: str) -> AsyncGenerator[str, None]:
    """Ask by POST and give every part of the answer that ends with the separator; then the last, with its end."""
    body = {"query": WATCH, "variables": variables}
    async with (
        httpx.AsyncClient(trust_env=False, verify=False, timeout=LONGEST_WAIT) as client,
        client.stream("POST", server.graphql_url, json=body, headers={"accept": accept}) as answer,
    ):
        left = ""
        async for text in answer.aiter_text():
            *whole, left = (left + text).split(separator)
            for part in whole:
                yield part
            if left == "--\r\n":
                yield left


@pytest.mark.parametrize("watch", [over_websocket, over_events, over_parts])
async def test_a_run_is_told_whole_though_the_connection_is_cut_200_times_anywhere(
    server: RunningServer, turnstile: Turnstile, watch: Watch
) -> None:
    draw = random.Random(20_261_125)
    nodes = [{"id": f"n{i}", "tool": "turnstile", "dependsOn": [f"n{i - 1}"] if i else []} for i in range(NODES)]
    witness = Witness(submit(server, document(*nodes)), turnstile)

    async with cutting_relay(server) as relay:
        for cut in range(1, CUTS + 1):
            relay.bytes_left = draw.randrange(1, FURTHEST_CUT)
            await witness.watch_until_cut(watch, relay, goal=NODES * cut // (CUTS + 1))
            assert relay.cuts == cut
        relay.bytes_left = None
        turnstile.let_through(NODES - witness.let_through)
        async for update in watch(relay.server, witness.variables):
            witness.take(update)

    assert witness.sequences == list(range(1, len(witness.sequences) + 1))
    assert (witness.completed, witness.status) == (NODES, "COMPLETED")
    assert len(witness.connections_that_told) > CUTS // 2


class Witness:
    """Watches a run over many connections, and lets it go on as far as each of them is to see."""

    def __init__(self, run_id: str, turnstile: Turnstile) -> None:
        self.sequences: list[int] = []
        self.completed = self.started = self.let_through = 0
        self.connections_that_told: set[int] = set()
        self.status = ""
        self._run_id = run_id
        self._turnstile = turnstile

    @property
    def variables(self) -> Json:
        """Name the run, and how much of it was seen."""
        return {"id": self._run_id, "after": self.sequences[-1] if self.sequences else 0}

    def take(self, update: Json) -> None:
        """Take note of an update."""
        for event in update["events"]:
            self.sequences.append(event["sequence"])
            self.completed += event["__typename"] == "NodeCompleted"
            self.started += event["__typename"] == "AttemptStarted"
        self.status = update["workflow"]["status"]

    async def watch_until_cut(self, watch: Watch, relay: CuttingRelay, *, goal: int) -> None:
        """Watch over one connection, which is cut at the latest when all is seen up to the goal."""
        self._go_on(goal)
        with suppress(ConnectionError, WebSocketException, httpx.TransportError):
            async with aclosing(watch(relay.server, self.variables)) as updates:
                async for update in updates:
                    self.take(update)
                    self.connections_that_told.add(relay.cuts)
                    if self._has_seen_all() and self.let_through == goal:
                        relay.cut()
                    self._go_on(goal)

    def _has_seen_all(self) -> bool:
        """Whether nothing more can come: the node after those that were let through has started, and waits."""
        return self.completed == self.let_through and self.started > self.let_through

    def _go_on(self, goal: int) -> None:
        """Let a few more through, but not while there is something to catch up with: no update becomes too big."""
        if self._has_seen_all():
            count = min(goal - self.let_through, AT_ONCE)
            self._turnstile.let_through(count)
            self.let_through += count
