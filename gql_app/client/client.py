"""The client: what a program can ask of a service."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from gql_app.client.address import parse_address, parse_token
from gql_app.client.backoff import Backoff, ConnectionLostError
from gql_app.client.errors import (
    ConnectionFailedError,
    RefusedError,
    RunNotFoundError,
    ServerOverloadedError,
)
from gql_app.client.models import (
    NodeDetails,
    NodeRun,
    RunPage,
    Step,
    StreamedOutput,
    Tool,
    WorkflowPlan,
    WorkflowRun,
    WorkflowUpdate,
)
from gql_app.client.results import convert, read_result
from gql_app.core.values import Json

if TYPE_CHECKING:
    from gql_app.client.http import HttpTransport


def _tell_nobody(reason: str, delay: float) -> None:
    """Ignore that the connection was lost."""


class WorkflowClient:
    """Talks to the service at a URL. Use it as a context manager, or close it in the end.

    Every method raises `ClientError`; its subclasses say what to do about it. `ValueError` is raised for a URL that is
    none. `token` says who asks, where the service wants to know.

        async with WorkflowClient("http://127.0.0.1:8000") as client:
            run = await client.submit({"name": "hello", "nodes": [{"id": "hi", "tool": "echo", "input": {"value": 1}}]})
            async for update in client.watch(run.id):
                print(update.workflow.status)
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, token: str | None = None, backoff: Backoff | None = None
    ) -> None:
        self._address = parse_address(url)
        self._token = parse_token(token)
        self._backoff = backoff or Backoff()
        self._transport: HttpTransport | None = None

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._address.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._transport is not None:
            await self._transport.close()

    async def submit(
        self, spec: Json, *, input: Json = msgspec.UNSET, idempotency_key: str | None = None
    ) -> WorkflowRun:
        """Start a run of a document. `input`, if it is given, even as None, replaces the document's.

        Raises `InvalidDocumentError` and `KeyConflictError`.
        """
        variables = _with_input({"spec": spec, "idempotencyKey": idempotency_key}, input)
        data = await self._execute("SubmitWorkflow", variables)
        return self._run(read_result(data, "submitWorkflow", "SubmitWorkflowSuccess", self.url))

    async def validate(self, spec: Json, *, input: Json = msgspec.UNSET) -> WorkflowPlan:
        """Check a document without running it. Raises `InvalidDocumentError`."""
        data = await self._execute("ValidateWorkflow", _with_input({"spec": spec}, input))
        return convert(read_result(data, "validateWorkflow", "WorkflowPlan", self.url), WorkflowPlan, self.url)

    async def get(self, run_id: str, *, at: int | None = None) -> WorkflowRun:
        """Read a run with its nodes, as it is now, or as it was after the event of the sequence `at`.

        Raises `RunNotFoundError`, and `RefusedError` with the code INVALID_CURSOR for a sequence it has not come to.
        """
        return convert(await self._read("GetWorkflow", {"id": run_id, "at": at}), WorkflowRun, self.url)

    async def node(self, run_id: str, node_id: str) -> NodeDetails:
        """Read a node with its values and attempts.

        Raises `RunNotFoundError`, and `RefusedError` with the code NODE_NOT_FOUND.
        """
        node = (await self._read("GetNode", {"id": run_id, "node": node_id})).get("node")
        if node is None:
            raise RefusedError(f"Run {run_id} has no node {node_id!r}.", "NODE_NOT_FOUND")
        return convert(node, NodeDetails, self.url)

    async def outputs(self, run_id: str) -> dict[str, Json]:
        """Read what the completed nodes of a run returned, by node; that may be much. Raises `RunNotFoundError`."""
        nodes = (await self._read("GetOutputs", {"id": run_id})).get("nodes")
        return {node.id: node.output for node in convert(nodes, tuple[NodeDetails, ...], self.url)}

    async def list(
        self,
        *,
        first: int = 20,
        after: str | None = None,
        statuses: Sequence[str] = (),
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> RunPage:
        """List up to 100 runs, newest first; `after` is the `end_cursor` of the page before."""
        wanted = {"statuses": list(statuses) or None, "name": name, "labels": dict(labels) if labels else None}
        data = await self._execute("ListWorkflows", {"first": first, "after": after, "filter": wanted})
        page = data.get("workflows") or {}
        return convert({"nodes": page.get("nodes"), **(page.get("pageInfo") or {})}, RunPage, self.url)

    async def cancel(self, run_id: str, reason: str | None = None) -> WorkflowRun:
        """Stop a run. Raises `RunNotFoundError` and `RunFinishedError`."""
        data = await self._execute("CancelWorkflow", {"id": run_id, "reason": reason})
        return self._run(read_result(data, "cancelWorkflow", "CancelWorkflowSuccess", self.url))

    async def retry(self, run_id: str, from_: str = "FAILED") -> WorkflowRun:
        """Run a finished run's document again, as a new run: FAILED keeps what completed, START keeps nothing.

        Raises `RunNotFoundError` and `RunNotFinishedError`.
        """
        data = await self._execute("RetryWorkflow", {"id": run_id, "from": from_})
        return self._run(read_result(data, "retryWorkflow", "RetryWorkflowSuccess", self.url))

    async def delete(self, run_id: str) -> None:
        """Remove a finished run for good; `NotAllowedError` says that it is somebody else's.

        Raises `RunNotFoundError` and `RunNotFinishedError`.
        """
        read_result(
            await self._execute("DeleteWorkflow", {"id": run_id}), "deleteWorkflow", "DeleteWorkflowSuccess", self.url
        )

    async def tools(self) -> tuple[Tool, ...]:
        """Tell the tools that nodes can call, by name."""
        data = await self._execute("ListTools", {})
        return convert(data.get("tools"), tuple[Tool, ...], self.url)

    async def output_so_far(self, run_id: str, node_id: str) -> StreamedOutput:
        """Tell what a node's latest attempt has streamed so far: watch from its `sequence` on for what follows.

        Read it again when a step fails that had begun before: part of the text is void then.
        Raises `RunNotFoundError`, and `RefusedError` with the code NODE_NOT_FOUND.
        """
        run = await self._read("OutputSoFar", {"id": run_id, "node": node_id})
        if run.get("node") is None:
            raise RefusedError(f"Run {run_id} has no node {node_id!r}.", "NODE_NOT_FOUND")
        node = convert(run["node"], NodeRun, self.url)
        text, truncated = node.output_so_far or "", node.output_truncated
        return StreamedOutput(sequence=run["sequence"], attempt=node.attempt, text=text, truncated=truncated)

    async def steps(
        self, run_id: str, node_id: str, *, at: int | None = None, first: int = 100, after: str | None = None
    ) -> tuple[Step, ...]:
        """List up to 1,000 steps of a node, behind that of the id `after`; with `at`, as they were at that sequence.

        Raises `RunNotFoundError`, and `RefusedError` with the code NODE_NOT_FOUND.
        """
        variables = {"id": run_id, "node": node_id, "at": at, "first": first, "after": after}
        node = (await self._read("ListSteps", variables)).get("node")
        if node is None:
            raise RefusedError(f"Run {run_id} has no node {node_id!r}.", "NODE_NOT_FOUND")
        return convert(node, NodeRun, self.url).steps

    async def watch(
        self,
        run_id: str,
        *,
        after: int | None = None,
        only: Sequence[str] | None = None,
        nodes: Sequence[str] | None = None,
        lost: Callable[[str, float], None] = _tell_nobody,
    ) -> AsyncGenerator[WorkflowUpdate, None]:
        """Tell everything that happens in a run after the sequence `after`, once and in order, to the run's end.

        `only` leaves out what is not about these topics (STATUS, OUTPUT, LOG, PROGRESS), `nodes` what other nodes do.

        Without `after`, the first update is the state now. A connection that is lost is made again and goes on where it
        was; `lost` is told why and after how many seconds. Raises `ConnectionFailedError` if that does not help, and at
        once if there was no connection to begin with; `RunNotFoundError` and `RunRemovedError` if there is no such run.
        """
        place = _Place(after, only, nodes)
        failures = 0
        while True:
            try:
                async with aclosing(self._connection(run_id, place)) as updates:
                    async for update in updates:
                        failures = 0
                        yield update
                if place.ended or await self._has_ended(run_id, place):
                    return
                reason, delay = "the subscription ended before the run", 0.0
            except ConnectionLostError as error:
                if not place.connected:
                    message = f"{str(error).removesuffix('.')}. Is the server running? See `gql-app serve`."
                    raise ConnectionFailedError(self.url, message) from None
                reason, delay = str(error), 0.0
            except ServerOverloadedError as error:
                reason, delay = str(error), error.retry_after_seconds
            failures += 1
            delay = max(delay, self._delay(failures, reason))
            lost(reason, delay)
            await asyncio.sleep(delay)

    def _delay(self, failures: int, reason: str) -> float:
        """Tell when to come back after so many failures. Raises `ConnectionFailedError` if they are too many."""
        if failures > self._backoff.maximum_attempts:
            message = f"{reason.removesuffix('.')}; {self._backoff.maximum_attempts} attempts to come back failed."
            raise ConnectionFailedError(self.url, message)
        return self._backoff.delay(failures, random.random())

    async def _execute(self, operation: str, variables: Json) -> Json:
        if self._transport is None:
            from gql_app.client.http import HttpTransport  # noqa: PLC0415 (gql loads slowly; many only want the models)

            self._transport = HttpTransport(self._address, self._token)
        return await self._transport.execute(operation, variables)

    async def _read(self, operation: str, variables: Json) -> Json:
        """Carry out an operation that reads a run. Raises `RunNotFoundError`."""
        run = (await self._execute(operation, variables)).get("workflow")
        if run is None:
            message = (
                f"No run {variables['id']!r} at {self.url}; it may have been removed. List runs to see what is there."
            )
            raise RunNotFoundError(message, "WORKFLOW_NOT_FOUND")
        return run

    async def _connection(self, run_id: str, place: "_Place") -> AsyncGenerator[WorkflowUpdate, None]:
        """Watch over one connection, without what was told over those before."""
        from gql_app.client.subscription import subscribe  # noqa: PLC0415 (as in `_execute`)

        variables = {"id": run_id, "after": place.sequence, **place.wanted}
        async with aclosing(subscribe(self._address, self._token, "WorkflowUpdates", variables)) as results:
            async for data in results:
                place.connected = True
                if data is not None:
                    update = convert(data.get("workflowUpdates"), WorkflowUpdate, self.url)
                    if place.accept(update):
                        yield update

    async def _has_ended(self, run_id: str, place: "_Place") -> bool:
        """Whether a subscription that told nothing had nothing to tell."""
        try:
            run = await self.get(run_id)
        except ConnectionFailedError:
            return False
        return run.finished and (place.sequence is None or place.sequence >= run.sequence)

    def _run(self, result: Json) -> WorkflowRun:
        return convert(result.get("workflow"), WorkflowRun, self.url)


class _Place:
    """How far a run has been watched, and what of it."""

    def __init__(self, sequence: int | None, only: Sequence[str] | None, nodes: Sequence[str] | None) -> None:
        self.sequence = sequence
        asked = {"only": only, "nodes": nodes}
        self.wanted = {name: list(each) for name, each in asked.items() if each is not None}
        self.connected = False
        self.ended = False

    def accept(self, update: WorkflowUpdate) -> bool:
        """Go on to an update; tell whether it is news."""
        news = self.sequence is None or update.sequence > self.sequence
        if news:
            self.sequence = update.sequence
        self.ended = update.workflow.finished and update.workflow.sequence <= update.sequence
        return news


def _with_input(variables: Json, input: Json) -> Json:
    return variables if input is msgspec.UNSET else {**variables, "input": input}
