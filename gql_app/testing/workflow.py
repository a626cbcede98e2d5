"""Runs whole documents in a test."""

from collections.abc import Iterable, Mapping

from gql_app.core.planning import ABSENT
from gql_app.core.values import Json
from gql_app.ports import Resource
from gql_app.testing.loops import run_on_a_loop
from gql_app.testing.results import RunResult
from gql_app.testing.stage import Cast, Stage
from gql_app.testing.virtual_time import PATIENCE


def run_workflow(
    document: Json,
    *,
    tools: Iterable[Cast] = (),
    input: Json = ABSENT,
    resources: Mapping[Resource[Json], Json] | None = None,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, Json] | None = None,
    cancel_after: float | None = None,
    real_time: bool = False,
    patience: float = PATIENCE,
) -> RunResult:
    """Run a document in the real engine, with the tools that ship and `tools`, and tell what became of it.

    It runs on virtual time: waiting costs nothing, and a retry in an hour comes in a moment. Delays of retries are the
    longest that their jitter allows. A `ScriptedTool` stands in for the tool of its name, and what `resources` gives
    for a resource is shared instead of opening that. `settings` are those of the service by their names in Python;
    environment variables count for nothing. A run that goes on for `cancel_after` seconds is cancelled.

    While a function of a tool is out in a thread or process, virtual time stands still; one that is out for `patience`
    real seconds is taken to hang, and time goes on. What waits for the network or another program needs `real_time`.

    Raises `InvalidWorkflowError` for a document that cannot work, and `ScriptError` if a script does not fit.
    """
    work = run_workflow_async(
        document,
        tools=tools,
        input=input,
        resources=resources,
        secrets=secrets,
        settings=settings,
        cancel_after=cancel_after,
    )
    return run_on_a_loop(work, real_time=real_time, patience=patience)


async def run_workflow_async(
    document: Json,
    *,
    tools: Iterable[Cast] = (),
    input: Json = ABSENT,
    resources: Mapping[Resource[Json], Json] | None = None,
    secrets: Mapping[str, str] | None = None,
    settings: Mapping[str, Json] | None = None,
    cancel_after: float | None = None,
) -> RunResult:
    """Do what `run_workflow` does on the running loop: on virtual time if that is one, else in real time."""
    async with Stage(tools, resources=resources, secrets=secrets, settings=settings) as stage:
        return await stage.run(document, input=input, cancel_after=cancel_after)
