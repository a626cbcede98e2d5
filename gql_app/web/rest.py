"""Workflows over plain HTTP: the same service and documents as over GraphQL."""

import math
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gql_app.bootstrap import Application
from gql_app.core.access import Scope
from gql_app.core.errors import (
    CorruptRunError,
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidWorkflowError,
    NotOwnerError,
    OverloadedError,
    Problem,
    StoreUnavailableError,
    WorkflowError,
    WorkflowNotFinishedError,
    WorkflowNotFoundError,
)
from gql_app.core.events import Failure
from gql_app.core.ids import RunId
from gql_app.core.run import NodeRun, WorkflowRun
from gql_app.core.values import Json
from gql_app.service import HealthStatus, WorkflowService
from gql_app.web.content import is_json
from gql_app.web.encoding import InvalidJsonError, decode, encode
from gql_app.web.gate import require
from gql_app.web.refusals import problem

_ERRORS: Final = {
    IdempotencyConflictError: (HTTPStatus.CONFLICT, "IDEMPOTENCY_CONFLICT"),
    InvalidArgumentError: (HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT"),
    InvalidWorkflowError: (HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID_WORKFLOW"),
    NotOwnerError: (HTTPStatus.FORBIDDEN, "FORBIDDEN"),
    OverloadedError: (HTTPStatus.TOO_MANY_REQUESTS, "OVERLOADED"),
    StoreUnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    CorruptRunError: (HTTPStatus.INTERNAL_SERVER_ERROR, "CORRUPT_RUN"),
    WorkflowNotFinishedError: (HTTPStatus.CONFLICT, "WORKFLOW_NOT_FINISHED"),
    WorkflowNotFoundError: (HTTPStatus.NOT_FOUND, "WORKFLOW_NOT_FOUND"),
}


async def health(request: Request) -> Response:
    """Say how the service is; 200 as long as it answers."""
    state = await _application(request).service.health()
    return _answer(
        {
            "status": "ok" if state.status is HealthStatus.OK else "degraded",
            "version": state.version,
            "uptime_seconds": round(state.uptime_seconds, 3),
            "leftovers": state.leftovers,
            "checks": [
                {"name": check.name, "status": check.status.lower(), "message": check.message} for check in state.checks
            ],
        }
    )


async def ready(request: Request) -> Response:
    """Say whether new runs are accepted."""
    why_not = await _application(request).service.why_not_ready()
    if why_not is None:
        return _answer({"status": "ready"})
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "NOT_READY", why_not)


async def submit_workflow(request: Request) -> Response:
    """Start the document in the body. The same `Idempotency-Key` again starts nothing and gives the same answer."""
    identity = await require(request, Scope.WRITE)
    if not is_json(request.headers.get("content-type")):
        message = "Send the document as JSON, with the header Content-Type: application/json."
        return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
    try:
        document = decode(await request.body(), what="body")
    except InvalidJsonError as error:
        return problem(HTTPStatus.BAD_REQUEST, "INVALID_JSON", str(error))
    service = _application(request).service
    key = request.headers.get("idempotency-key")
    run = await service.submit(identity.namespace, document, idempotency_key=key, by=identity)
    location = str(request.url_for("workflow", run_id=run.run_id).path)
    return _answer(await _show_run(service, run), status=HTTPStatus.CREATED, headers={"location": location})


async def read_workflow(request: Request) -> Response:
    """Show a run as it is now."""
    identity = await require(request, Scope.READ)
    service = _application(request).service
    run = await service.get(identity.namespace, RunId(request.path_params["run_id"]))
    return _answer(await _show_run(service, run))


async def delete_workflow(request: Request) -> Response:
    """Remove a run that has ended, for good."""
    identity = await require(request, Scope.WRITE)
    run_id = RunId(request.path_params["run_id"])
    await _application(request).service.delete(identity.namespace, run_id, by=identity)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def workflow(request: Request) -> Response:
    """Show a run, or remove it."""
    return await (delete_workflow if request.method == "DELETE" else read_workflow)(request)


async def refuse_workflow_error(request: Request, error: Exception) -> Response:
    """Say what the service refused, and why."""
    status, code = _ERRORS[type(error)]
    match error:
        case InvalidWorkflowError():
            return problem(status, code, str(error), problems=[_show_problem(found) for found in error.problems])
        case IdempotencyConflictError():
            return problem(status, code, str(error), run_id=error.run_id)
        case OverloadedError():
            if not _application(request).executor.load().accepting:
                status = HTTPStatus.SERVICE_UNAVAILABLE
            seconds = math.ceil(error.retry_after_seconds)
            return problem(status, code, str(error), headers={"retry-after": str(seconds)})
        case _:
            return problem(status, code, str(error))


def routes() -> list[BaseRoute]:
    """Tell all addresses."""
    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/workflows", submit_workflow, methods=["POST"]),
        Route("/workflows/", submit_workflow, methods=["POST"]),
        Route("/workflows/{run_id}", workflow, methods=["GET", "DELETE"], name="workflow"),
    ]


def error_types() -> list[type[WorkflowError]]:
    """Tell what `refuse_workflow_error` has an answer for."""
    return list(_ERRORS)


def _application(request: Request) -> Application:
    application: Application = request.state.application
    return application


def _answer(body: Json, *, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(body), status, headers, media_type="application/json")


async def _show_run(service: WorkflowService, run: WorkflowRun) -> Json:
    return {
        "run_id": run.run_id,
        "name": run.plan.name,
        "status": run.status,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "nodes": {str(node.key): await _show_node(service, run, node) for node in run.nodes},
        "output": await service.value(run, run.output),
        "error": _show_failure(run.error),
    }


async def _show_node(service: WorkflowService, run: WorkflowRun, node: NodeRun) -> Json:
    return {
        "status": node.status,
        "attempts": len(node.attempts),
        "output": await service.value(run, node.output),
        "error": _show_failure(node.error),
        "skip_reason": node.skip_reason,
        "started_at": node.started_at,
        "finished_at": node.finished_at,
    }


def _show_failure(failure: Failure | None) -> Json:
    if failure is None:
        return None
    node_id = str(failure.node) if failure.node is not None else None
    return {"type": failure.type, "message": failure.message, "node_id": node_id}


def _show_problem(found: Problem) -> Json:
    return {
        "code": found.code,
        "message": found.message,
        "pointer": found.pointer,
        "node_id": found.node_id,
        "hint": found.hint,
    }
