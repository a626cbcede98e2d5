"""What a client is told when something goes wrong, and what is logged."""

import logging
from collections.abc import Sequence

import pytest

from gql_app.core.events import RunEvent
from gql_app.core.ids import Namespace, RunId
from gql_app.core.values import Json
from gql_app.schema import operations
from gql_app.service import WorkflowService
from gql_app.storage.memory import MemoryRunRepository
from tests.support.graphql import Api
from tests.support.service import Stage, document, node

pytestmark = pytest.mark.anyio

VALIDATE = operations.load("ValidateWorkflow")


async def test_what_nobody_expected_is_masked_and_logged_once_with_its_run(caplog: pytest.LogCaptureFixture) -> None:
    api = api_with_a_broken_store()

    error = await api.refused("query ($id: ID!) { shown: workflow(id: $id) { status } }", id="run-7")

    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    extensions = error.extensions or {}
    assert extensions["code"] == "INTERNAL"
    assert error.message == f"Internal error (id {extensions['id']})."
    assert error.path == ["shown"]
    assert extensions["id"] in record.getMessage()
    assert "run-7" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], DiskError)


async def test_what_nobody_expected_is_masked_in_a_subscription_too(caplog: pytest.LogCaptureFixture) -> None:
    subscription = await api_with_a_broken_store().subscribe(operations.load("WorkflowUpdates"), id="run-7")

    [result] = [each async for each in subscription]

    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert result.errors is not None
    assert [(error.extensions or {})["code"] for error in result.errors] == ["INTERNAL"]
    assert "secret" not in str(result.errors)
    assert ["run-7" in record.getMessage() for record in records] == [True]


async def test_the_mistakes_of_a_client_are_not_logged_as_errors(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(Stage().service)

    await api.execute("{")
    await api.execute("{ nothing }")
    await api.execute(VALIDATE, spec=1)
    await api.execute("{ workflows(first: 0) { nodes { id } } }")
    await api.execute('{ workflows(after: "x") { nodes { id } } }')

    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_syntax_and_validation_errors_are_told_as_they_are() -> None:
    api = Api(Stage().service)

    syntax = await api.refused("{ health { ")
    validation = await api.refused("{ health { statuss } }")

    assert syntax.message.startswith("Syntax Error")
    assert "Did you mean 'status'?" in validation.message


async def test_one_document_can_be_refused_again_and_again() -> None:
    api = Api(Stage().service)

    errors = [await api.refused("{ health { statuss } }") for _ in range(3)]

    assert len({error.message for error in errors}) == 1


@pytest.mark.parametrize(
    ("spec", "pointers"),
    [
        (None, [""]),
        ([], [""]),
        ({}, ["/name", "/nodes"]),
        ({"name": 1, "nodes": [{"id": "a"}]}, ["/name", "/nodes/0/tool"]),
        (document(node("a", retry={"maximumAttempts": "four"})), ["/nodes/0/retry/maximumAttempts"]),
        (document(node("a", retry={"maximumAttempts": 2**31})), ["/nodes/0/retry/maximumAttempts"]),
        (document(node("a", retry={"maximumAttempts": 1.5})), ["/nodes/0/retry/maximumAttempts"]),
        (document(node("a", retry={"jitter": "SOME"})), ["/nodes/0/retry/jitter"]),
        (document(node("a", retries={})), ["/nodes/0/retries"]),
        (document(node("a", **{"a/b~c": 1})), ["/nodes/0/a~1b~0c"]),
        (document(*[{}] * 1_000), None),
    ],
)
async def test_a_field_of_the_wrong_shape_is_named_with_its_pointer(spec: Json, pointers: list[str] | None) -> None:
    result = await Api(Stage().service).execute(VALIDATE, spec=spec)

    assert result.errors is not None
    extensions = [error.extensions or {} for error in result.errors]
    assert {each["code"] for each in extensions} == {"INVALID_FIELD"}
    assert {each["variable"] for each in extensions} == {"spec"}
    assert len(extensions) <= 10
    if pointers is not None:
        assert [each["pointer"] for each in extensions] == pointers


@pytest.mark.parametrize(
    "spec",
    [
        document(node("hunter2", tool=["hunter2"])),
        {"name": "hunter2", "hunter": {"password": "hunter2"}},
        document(node("a", timeout={"attemptSeconds": "hunter2"})),
        document(node("a", timeout="hunter2")),
        "hunter2",
    ],
)
async def test_a_value_of_the_wrong_shape_is_never_printed(spec: Json, caplog: pytest.LogCaptureFixture) -> None:
    result = await Api(Stage().service).execute(VALIDATE, spec=spec)

    assert result.errors is not None
    assert "hunter2" not in str(result.errors)
    assert "hunter2" not in caplog.text


async def test_a_misspelt_field_is_told_the_nearest_name() -> None:
    error = await Api(Stage().service).refused(VALIDATE, spec=document(node("a", retries={})))

    assert "there is no field 'retries'. Did you mean 'retry'?" in error.message


async def test_a_variable_that_is_missing_is_named() -> None:
    error = await Api(Stage().service).refused(operations.load("GetWorkflow"))

    assert error.extensions == {"code": "INVALID_FIELD", "variable": "id", "pointer": ""}
    assert "$id" in error.message


@pytest.mark.parametrize("time", ["2026-01-31", "2026-01-31T12:00:00", "noon", 5, "9999-12-31T23:59:59-23:59"])
async def test_a_time_needs_its_offset(time: Json) -> None:
    query = "query ($at: DateTime) { workflows(filter: {createdAfter: $at}) { nodes { id } } }"

    error = await Api(Stage().service).refused(query, at=time)

    assert "a date and time with its offset" in error.message


@pytest.mark.parametrize("pointer", ["list", "/a~", "/~2", "#/a"])
async def test_a_pointer_that_is_none_is_refused(pointer: str) -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    error = await Api(stage.service).refused(
        "query ($id: ID!, $pointer: String) { workflow(id: $id) { output(pointer: $pointer) } }",
        id=run_id,
        pointer=pointer,
    )

    assert error.extensions == {"code": "INVALID_ARGUMENT", "argument": "pointer"}


@pytest.mark.parametrize(
    ("field", "code"),
    [("first: 0", "INVALID_ARGUMENT"), ("first: 1001", "INVALID_ARGUMENT"), ("after: -1", "INVALID_CURSOR")],
)
async def test_a_part_of_the_log_that_cannot_be_is_refused(field: str, code: str) -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))

    error = await Api(stage.service).refused(
        f"query ($id: ID!) {{ workflow(id: $id) {{ events({field}) {{ at }} }} }}", id=run_id
    )

    assert (error.extensions or {})["code"] == code


class DiskError(Exception):
    """What nobody expects."""


class BrokenRepository(MemoryRunRepository):
    """A store that cannot read."""

    async def events(self, namespace: Namespace, run_id: RunId, *, after: int, limit: int) -> Sequence[RunEvent]:
        raise DiskError("secret path")


def api_with_a_broken_store() -> Api:
    stage = Stage()
    repository = BrokenRepository(clock=stage.clock, settings=stage.settings)
    service = WorkflowService(
        repository=repository,
        executor=stage.executor,
        evaluator=stage.evaluator,
        tools=stage.tools,
        clock=stage.clock,
        settings=stage.settings,
    )
    return Api(service)
