"""Submitting, reading, cancelling and retrying runs over GraphQL."""

import pytest

from gql_app.core.ids import Namespace
from gql_app.core.values import Json
from gql_app.schema import operations
from tests.support.graphql import Api
from tests.support.service import Stage, document, node

pytestmark = pytest.mark.anyio


async def test_a_submitted_run_is_under_way_at_once() -> None:
    stage = Stage()

    answer = await Api(stage.service).perform("SubmitWorkflow", spec=document(node("a")))

    [run_id] = stage.executor.started
    assert answer == {
        "__typename": "SubmitWorkflowSuccess",
        "workflow": {"id": run_id, "name": "brief", "status": "RUNNING", "sequence": 3},
    }


async def test_the_document_is_told_as_it_was_sent() -> None:
    api = Api(Stage().service)
    sent = document(
        node(
            "a",
            input={"whole": 1, "real": 1.0, "nothing": None},
            retry={"maximumAttempts": 4, "initialIntervalSeconds": 0.5, "jitter": "NONE", "nonRetryableErrors": ["E"]},
            timeout={"attemptSeconds": None, "totalSeconds": 10},
            continueOnFailure=True,
        ),
        node("b", "a", input=[1.0], when="${ true }"),
        input=2.0,
        inputSchema={"type": "number", "minimum": 1.0},
        output={"b": "${ nodes.b.output }"},
        labels={"team": "core"},
        timeoutSeconds=60,
        maximumConcurrency=None,
    )

    run_id = await submit(api, sent)

    told = (await api.ask("query ($id: ID!) { workflow(id: $id) { spec } }", id=run_id))["workflow"]["spec"]
    assert told == sent
    assert [type(told["nodes"][0]["input"][name]) for name in ("whole", "real")] == [int, float]
    assert type(told["nodes"][1]["input"][0]) is float
    assert type(told["timeoutSeconds"]) is int


async def test_a_number_that_is_far_too_big_is_told_its_limit() -> None:
    api = Api(Stage().service)

    data = await api.ask(
        """mutation ($spec: WorkflowSpecInput!) {
             submitWorkflow(spec: $spec) { ... on InvalidWorkflow { problems { pointer message } } }
           }""",
        spec=document(node("a"), timeoutSeconds=1e300),
    )

    [problem] = data["submitWorkflow"]["problems"]
    assert problem["pointer"] == "/timeoutSeconds"
    assert "at most" in problem["message"]


async def test_a_literal_in_the_operation_is_the_same_document() -> None:
    api = Api(Stage().service)

    data = await api.ask(
        """mutation ($name: String!) {
             submitWorkflow(spec: {name: $name, nodes: {id: "a", tool: "work", input: {x: [1, 2.5, null, $name]}}}) {
               ... on SubmitWorkflowSuccess { workflow { spec } }
             }
           }""",
        name="brief",
    )

    spec = data["submitWorkflow"]["workflow"]["spec"]
    assert spec == document(node("a", input={"x": [1, 2.5, None, "brief"]}))


@pytest.mark.parametrize(("variables", "expected"), [({}, 1), ({"input": 2}, 2), ({"input": None}, None)])
async def test_the_argument_input_replaces_the_documents_even_with_null(variables: Json, expected: Json) -> None:
    api = Api(Stage().service)

    answer = await api.perform("SubmitWorkflow", spec=document(node("a"), input=1), **variables)

    run_id = answer["workflow"]["id"]
    told = await api.ask("query ($id: ID!) { workflow(id: $id) { input } }", id=run_id)
    assert told["workflow"]["input"] == expected


async def test_an_invalid_document_is_answered_with_every_problem_and_its_pointer() -> None:
    stage = Stage()

    answer = await Api(stage.service).perform(
        "SubmitWorkflow", spec=document(node("a", tool="wrok"), node("b", "c", retry={"maximumAttempts": 0}))
    )

    assert answer["__typename"] == "InvalidWorkflow"
    assert {(problem["code"], problem["pointer"]) for problem in answer["problems"]} == {
        ("UNKNOWN_TOOL", "/nodes/0/tool"),
        ("UNKNOWN_NODE", "/nodes/1/dependsOn/0"),
        ("INVALID_FIELD", "/nodes/1/retry/maximumAttempts"),
    }
    assert stage.executor.started == []


async def test_a_key_that_was_used_finds_its_run_and_refuses_another_document() -> None:
    api = Api(Stage().service)
    first = await api.perform("SubmitWorkflow", spec=document(node("a")), idempotencyKey="k")

    again = await api.perform("SubmitWorkflow", spec=document(node("a")), idempotencyKey="k")
    other = await api.perform("SubmitWorkflow", spec=document(node("b")), idempotencyKey="k")

    assert again["workflow"]["id"] == first["workflow"]["id"]
    assert other["__typename"] == "IdempotencyConflict"
    assert other["workflow"]["id"] == first["workflow"]["id"]
    assert "Use a new key" in other["message"]


async def test_an_empty_key_is_an_invalid_argument() -> None:
    answer = await Api(Stage().service).perform("SubmitWorkflow", spec=document(node("a")), idempotencyKey="")

    assert answer["__typename"] == "InvalidArgument"


async def test_a_service_that_shuts_down_says_when_to_try_again() -> None:
    stage = Stage()
    await stage.executor.close()

    answer = await Api(stage.service).perform("SubmitWorkflow", spec=document(node("a")))

    assert answer["__typename"] == "Overloaded"
    assert answer["retryAfterSeconds"] == 5.0


async def test_a_run_tells_what_each_node_does_and_waits_for() -> None:
    stage = Stage()
    api = Api(stage.service)
    run_id = await stage.submit(node("a"), node("b", "a"))

    run = await api.perform("GetWorkflow", id=run_id)

    assert run["progress"] == {"total": 2, "completed": 0, "fraction": 0.0}
    assert [(each["id"], each["status"], each["attempt"]) for each in run["nodes"]] == [
        ("a", "RUNNING", 1),
        ("b", "PENDING", 0),
    ]
    assert run["nodes"][1]["waitingOn"] == {"__typename": "WaitingOnNodes", "nodeIds": ["a"]}
    assert run["availableActions"] == [
        {"action": "CANCEL", "enabled": True, "disabledReason": None},
        {"action": "RETRY", "enabled": False, "disabledReason": "The run has not finished: RUNNING."},
        {"action": "DELETE", "enabled": False, "disabledReason": "The run has not finished: RUNNING."},
    ]


async def test_nodes_are_found_by_status_and_by_id() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"), node("b", "a"))

    data = await Api(stage.service).ask(
        """query ($id: ID!) { workflow(id: $id) {
             nodes(status: [PENDING]) { id dependsOn }
             node(id: "a") { tool status attempts { number status startedAt error { type } } }
             none: node(id: "c") { id } } }""",
        id=run_id,
    )

    assert data["workflow"] == {
        "nodes": [{"id": "b", "dependsOn": ["a"]}],
        "node": {
            "tool": "work",
            "status": "RUNNING",
            "attempts": [{"number": 1, "status": "RUNNING", "startedAt": "2026-01-01T00:00:00Z", "error": None}],
        },
        "none": None,
    }


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_pointer_selects_inside_inputs_and_outputs_wherever_they_are_stored(size: int) -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"), node("b", input={"x": "${ nodes.a.output }"}))
    await stage.executor.succeed(run_id, "a", {"list": ["first", {"a/b": "here"}], "rest": "x" * size})

    data = await Api(stage.service).ask(
        """query ($id: ID!) { workflow(id: $id) {
             a: node(id: "a") { there: output(pointer: "/list/1/a~1b") nowhere: output(pointer: "/list/2") }
             b: node(id: "b") { input(pointer: "/x/list/0") }
             events { ... on NodeCompleted { nodeId attempt output(pointer: "/list/0") } } } }""",
        id=run_id,
    )

    assert data["workflow"]["a"] == {"there": "here", "nowhere": None}
    assert data["workflow"]["b"] == {"input": "first"}
    assert {"nodeId": "a", "attempt": 1, "output": "first"} in data["workflow"]["events"]


async def test_a_failed_run_says_why_and_which_node_it_was() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))
    await stage.executor.fail(run_id, "a")

    run = await Api(stage.service).perform("GetWorkflow", id=run_id)

    assert run["status"] == "FAILED"
    assert run["error"]["nodeId"] == "a"
    assert run["nodes"][0]["retryState"] == "NON_RETRYABLE_ERROR"
    assert run["nodes"][0]["error"] == {"type": "Boom", "message": "it broke"}
    assert run["durationSeconds"] == 0.0


async def test_the_log_is_read_in_parts() -> None:
    stage = Stage()
    run_id = await stage.perform(node("a"))
    query = """query ($id: ID!, $after: Int!) {
                 workflow(id: $id) { events(first: 2, after: $after) { __typename sequence } } }"""

    first = await Api(stage.service).ask(query, id=run_id, after=0)
    second = await Api(stage.service).ask(query, id=run_id, after=2)

    assert first["workflow"]["events"] == [
        {"__typename": "WorkflowSubmitted", "sequence": 1},
        {"__typename": "WorkflowStarted", "sequence": 2},
    ]
    assert second["workflow"]["events"] == [
        {"__typename": "AttemptStarted", "sequence": 3},
        {"__typename": "NodeCompleted", "sequence": 4},
    ]


async def test_a_run_is_stopped_once() -> None:
    stage = Stage()
    api = Api(stage.service)
    run_id = await stage.submit(node("a"))

    stopping = await api.perform("CancelWorkflow", id=run_id, reason="enough")
    await stage.executor.stop(run_id, "a")
    late = await api.perform("CancelWorkflow", id=run_id)

    assert stopping["workflow"]["status"] == "STOPPING"
    assert late["__typename"] == "WorkflowAlreadyFinished"
    assert late["workflow"] == {"id": run_id, "status": "CANCELLED"}


async def test_a_failed_run_is_retried_as_a_new_one_that_keeps_what_completed() -> None:
    stage = Stage()
    api = Api(stage.service)
    run_id = await stage.submit(node("a"), node("b", "a"))
    early = await api.perform("RetryWorkflow", id=run_id)
    await stage.executor.succeed(run_id, "a", "kept")
    await stage.executor.fail(run_id, "b")

    answer = await api.perform("RetryWorkflow", id=run_id)

    assert early["__typename"] == "WorkflowNotFinished"
    assert answer["workflow"]["retryOf"] == run_id
    again = await api.ask(
        "query ($id: ID!) { workflow(id: $id) { nodes { status output } events { ... on NodeReused { output } } } }",
        id=answer["workflow"]["id"],
    )
    assert again["workflow"]["nodes"][0] == {"status": "COMPLETED", "output": "kept"}
    assert {"output": "kept"} in again["workflow"]["events"]


async def test_a_completed_run_is_retried_only_from_its_start() -> None:
    stage = Stage()
    api = Api(stage.service)
    run_id = await stage.perform(node("a"))

    failed = await api.perform("RetryWorkflow", id=run_id)
    start = await api.perform("RetryWorkflow", id=run_id, **{"from": "START"})

    assert failed["__typename"] == "InvalidArgument"
    assert "START" in failed["message"]
    assert start["workflow"]["retryOf"] == run_id


async def test_a_run_that_is_not_there_is_null_or_not_found() -> None:
    api = Api(Stage().service)

    assert await api.perform("GetWorkflow", id="nothing") is None
    assert (await api.perform("CancelWorkflow", id="nothing"))["__typename"] == "WorkflowNotFound"
    assert (await api.perform("RetryWorkflow", id="nothing"))["__typename"] == "WorkflowNotFound"


async def test_another_namespace_sees_nothing_of_a_run() -> None:
    stage = Stage()
    run_id = await stage.submit(node("a"))
    elsewhere = Api(stage.service, Namespace("elsewhere"))

    assert await elsewhere.perform("GetWorkflow", id=run_id) is None
    assert (await elsewhere.perform("ListWorkflows"))["nodes"] == []


async def test_a_plan_shows_merged_policies_dependencies_and_layers() -> None:
    plan = await Api(Stage().service).perform(
        "ValidateWorkflow",
        spec=document(
            node("b", input="${ nodes.a.output }", timeout={"attemptSeconds": None}),
            node("a", retry={"maximumAttempts": 7}),
        ),
    )

    b, a = plan["nodes"]
    assert plan["layers"] == [["a"], ["b"]]
    assert b["dependsOn"] == ["a"]
    assert (a["retry"]["maximumAttempts"], b["retry"]["maximumAttempts"]) == (7, 3)
    assert (a["timeout"]["attemptSeconds"], b["timeout"]["attemptSeconds"]) == (60.0, None)


async def test_tools_are_listed_and_found_by_name() -> None:
    api = Api(Stage().service)

    listed = await api.perform("ListTools")
    found = await api.ask('{ tool(name: "work") { name isolation } none: tool(name: "wrok") { name } }')

    assert [tool["name"] for tool in listed] == ["work"]
    assert found == {"tool": {"name": "work", "isolation": "ASYNC"}, "none": None}


async def test_health_names_what_is_wrong() -> None:
    stage = Stage()
    stage.executor.leftovers = 1_000

    health = await Api(stage.service).perform("Health")

    assert health["status"] == "DEGRADED"
    assert health["leftovers"] == 1_000
    assert [check["message"] for check in health["checks"] if check["status"] == "DEGRADED"] != [None]


async def test_an_operation_answers_the_same_when_it_is_known_already() -> None:
    api = Api(Stage().service)
    query = operations.load("ListTools") + "# asked twice"

    first = await api.ask(query)
    second = await api.ask(query)

    assert first == second


async def submit(api: Api, spec: Json) -> str:
    answer = await api.perform("SubmitWorkflow", spec=spec)
    run_id: str = answer["workflow"]["id"]
    return run_id
