"""The composition root: what it opens, and in which order it closes it."""

import pytest

from gql_app.bootstrap import application
from gql_app.core.errors import InvalidToolError, OverloadedError, WorkflowNotFoundError
from gql_app.core.events import NodeCompleted
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.run import RunStatus
from gql_app.settings import Settings
from gql_app.tools.decorator import tool
from tests.support.documents import document, echo

pytestmark = pytest.mark.anyio

SETTINGS = Settings(shutdown_grace_seconds=30)


async def test_a_workflow_runs_from_its_submission_to_its_end() -> None:
    async with application(SETTINGS) as opened:
        run = await opened.service.submit(DEFAULT_NAMESPACE, document(echo("a", 1)))
        updates = [update async for update in opened.service.watch(DEFAULT_NAMESPACE, run.run_id)]

    assert updates[-1].run.status is RunStatus.COMPLETED


async def test_tools_are_those_that_ship_and_those_that_are_handed_over() -> None:
    @tool
    async def mine() -> None:
        """Do nothing."""

    async with application(SETTINGS, tools=[mine]) as opened:
        names = set(opened.tools.definitions())

    assert {"echo", "delay", "fail", "mine"} <= names


async def test_tools_of_a_module_that_is_not_there_are_refused() -> None:
    with pytest.raises(InvalidToolError, match="no_such_module"):
        async with application(Settings(tools=("no_such_module",))):
            pass


async def test_closing_lets_attempts_in_flight_end_and_then_closes_their_tools() -> None:
    happened: list[str] = []

    @tool
    async def work() -> None:
        """Take a moment."""
        happened.append("worked")

    async def close() -> None:
        happened.append("closed")

    work.aclose = close  # type: ignore[attr-defined]  # tools may have one; functions have none

    async with application(SETTINGS, tools=[work]) as opened:
        run = await opened.service.submit(DEFAULT_NAMESPACE, document({"id": "a", "tool": "work"}))
        async for update in opened.service.watch(DEFAULT_NAMESPACE, run.run_id, after=0):
            if any(isinstance(event, NodeCompleted) for event in update.events):
                break

    assert happened == ["worked", "closed"]


async def test_what_is_closed_accepts_nothing_and_forgets_what_was_in_memory() -> None:
    async with application(SETTINGS) as opened:
        run = await opened.service.submit(DEFAULT_NAMESPACE, document())

    with pytest.raises((OverloadedError, WorkflowNotFoundError)):
        await opened.service.submit(DEFAULT_NAMESPACE, document())
    with pytest.raises(WorkflowNotFoundError):
        await opened.repository.summary(DEFAULT_NAMESPACE, run.run_id)
