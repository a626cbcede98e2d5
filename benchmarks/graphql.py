"""What a GraphQL request costs the server, beside a bare Starlette endpoint that encodes the same with `json`.

Both read the same body, and are called in this process as a server calls them, without a network: only the
processor's time counts. Ours has everything on that a request passes: middleware, limits, access, masking, metrics.
Tracing is off.
"""

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from benchmarks.figure import Figure
from gql_app.bootstrap import Application
from gql_app.core.access import ANYBODY, Scope
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.values import Json
from gql_app.engine.elected import ElectedExecutor
from gql_app.schema.context import Context
from gql_app.schema.execution import Operations, RefusedOperationError
from gql_app.settings import Settings
from gql_app.web.app import create_app
from gql_app.web.auth.key_writer import change_keys
from gql_app.web.auth.keys import make_key
from tests.support.hostile import REQUESTS

HEALTH: Final = "{ health { status } }"
NODES: Final = """query ($id: ID!) {
  workflow(id: $id) { nodes { id status tool attempt startedAt durationSeconds } }
}"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many requests are a round, how many rounds there are, and how many nodes the two runs have."""

    requests: int = 100
    rounds: int = 15
    small: int = 10
    large: int = 200
    hostile_rounds: int = 3


FULL: Final = Sizes()


@dataclass(frozen=True, slots=True)
class Case:
    """One question: what it is called, and the most that its answer may cost beside the bare one."""

    name: str
    at_most: float


class Client:
    """Sends requests to an application in this process."""

    def __init__(self, app: ASGIApp, state: Json, *, path: str, token: str | None = None) -> None:
        self._app = app
        self._state = state
        self._path = path
        self._headers = [
            (b"host", b"127.0.0.1:8000"),
            (b"content-type", b"application/json"),
            (b"accept", b"application/graphql-response+json, application/json"),
            *([(b"authorization", f"Bearer {token}".encode())] if token else []),
        ]

    async def post(self, body: bytes) -> bytes:
        """Send a body and give that of the answer, which must be one of success."""
        scope: Json = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [*self._headers, (b"content-length", b"%d" % len(body))],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
            "state": dict(self._state),
        }
        answered: list[Message] = []
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if unread:
                return unread.pop()
            never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            return await never

        async def send(message: Message) -> None:
            answered.append(message)

        await self._app(scope, receive, send)
        assert answered[0]["status"] == 200, answered
        return b"".join(message.get("body", b"") for message in answered[1:])


def figures(sizes: Sizes = FULL) -> list[Figure]:
    """Measure."""
    return [*asyncio.run(_compare(sizes)), asyncio.run(_worst(sizes))]


async def _compare(sizes: Sizes) -> list[Figure]:
    found: list[Figure] = []
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        token = _make_key(directory / "keys.json")
        opened, ours = await stack.enter_async_context(_serve(Settings()))
        other, known = await stack.enter_async_context(_serve(Settings(keys_file=str(directory / "keys.json")), token))
        for case, body in await _cases(sizes, opened):
            found += await _measure(sizes, case, ours, body)
        for case, body in await _cases(sizes, other):
            with_key = await _measure(sizes, case, known, body)
            found.append(Figure(name=f"{case.name}, with an API key / bare", value=with_key[-1].value, unit="x"))
    return found


async def _measure(sizes: Sizes, case: Case, ours: Client, body: bytes) -> list[Figure]:
    """Compare an answer of ours with the same by a bare endpoint, in rounds that alternate."""
    answer = json.loads(await ours.post(body))
    bare = Client(_bare(answer), {}, path="/")
    best = {"bare": float("inf"), "ours": float("inf")}
    for _ in range(sizes.rounds):
        for name, client in (("bare", bare), ("ours", ours)):
            best[name] = min(best[name], await _round(client, body, sizes.requests))
    return [
        Figure(name=f"{case.name}, bare Starlette with json", value=best["bare"] * 1e6, unit="µs"),
        Figure(name=f"{case.name}, GraphQL", value=best["ours"] * 1e6, unit="µs"),
        Figure(name=f"{case.name}, GraphQL / bare", value=best["ours"] / best["bare"], unit="x", at_most=case.at_most),
    ]


async def _round(client: Client, body: bytes, requests: int) -> float:
    gc.collect()
    started = time.process_time()
    for _ in range(requests):
        await client.post(body)
    return (time.process_time() - started) / requests


async def _cases(sizes: Sizes, opened: Application) -> Sequence[tuple[Case, bytes]]:
    small, large = [await _perform(opened, nodes) for nodes in (sizes.small, sizes.large)]
    return [
        (Case("health", 5.0), _body(HEALTH)),
        (Case(f"{sizes.small} nodes x 6 fields", 4.5), _body(NODES, id=small)),
        (Case(f"{sizes.large} nodes x 6 fields", 4.5), _body(NODES, id=large)),
    ]


async def _perform(opened: Application, nodes: int) -> str:
    document = {"name": "many", "nodes": [{"id": f"n{i}", "tool": "echo", "input": {"value": i}} for i in range(nodes)]}
    run = await opened.service.submit(DEFAULT_NAMESPACE, document)
    executor = opened.executor
    assert isinstance(executor, ElectedExecutor)
    await executor.join(run.run_id)
    return run.run_id


async def _worst(sizes: Sizes) -> Figure:
    """Find the most that any of the hostile requests costs, from its text to its answer."""
    app = create_app(Settings())
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        context = Context(service=state["application"].service)
        worst = max([(await _cost(request, context, sizes.hostile_rounds), name) for name, request in REQUESTS.items()])
    return Figure(name=f"the worst of {len(REQUESTS)} hostile requests", value=worst[0] * 1e3, unit="ms", at_most=50)


async def _cost(request: Json, context: Context, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        operations = Operations(Settings())
        gc.collect()
        started = time.process_time()
        with suppress(RefusedOperationError):
            await operations.execute(operations.prepare(request, ANYBODY), context)
        best = min(best, time.process_time() - started)
    return best


@asynccontextmanager
async def _serve(settings: Settings, token: str | None = None) -> AsyncIterator[tuple[Application, Client]]:
    app = create_app(settings)
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        yield state["application"], Client(app, state, path="/graphql", token=token)


def _make_key(path: Path) -> str:
    made = make_key(
        name="benchmark",
        namespace=DEFAULT_NAMESPACE,
        scopes=(Scope.READ,),
        created_at=datetime.now(UTC),
        expires_at=None,
    )
    change_keys(path, lambda keys: [*keys, made.kept])
    return made.text


def _bare(answer: Json) -> Starlette:
    async def endpoint(request: Request) -> JSONResponse:
        await request.json()
        return JSONResponse(answer)

    return Starlette(routes=[Route("/", endpoint, methods=["POST"])])


def _body(query: str, **variables: Json) -> bytes:
    return orjson.dumps({"query": query, "variables": variables})
