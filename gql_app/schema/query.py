"""Everything that can be asked."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Annotated, TypeAlias

import strawberry
from strawberry.scalars import JSON
from strawberry.types.nodes import SelectedField, Selection

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.ids import RunId
from gql_app.core.listing import RunSummary
from gql_app.core.planning import ABSENT
from gql_app.schema.context import Info
from gql_app.schema.errors import InvalidWorkflow
from gql_app.schema.health import Health
from gql_app.schema.pagination import (
    Pages,
    WorkflowConnection,
    WorkflowEdge,
    WorkflowFilter,
    WorkflowOrder,
    make_page_info,
)
from gql_app.schema.plan import WorkflowPlan
from gql_app.schema.run import SUMMARY_FIELDS, WorkflowRun, read_run
from gql_app.schema.tool import Tool
from gql_app.schema.workflow import WorkflowSpecInput, to_document

Spec: TypeAlias = Annotated[WorkflowSpecInput, strawberry.argument(description="The workflow document.")]
Input: TypeAlias = Annotated[
    JSON | None,
    strawberry.argument(
        description="The run's input. If it is given, even as null, it replaces the document's as a whole."
    ),
]
WorkflowId: TypeAlias = Annotated[strawberry.ID, strawberry.argument(description="The run's id.")]
ValidateWorkflowResult: TypeAlias = Annotated[
    WorkflowPlan | InvalidWorkflow,
    strawberry.union("ValidateWorkflowResult", description="What would run, or why it cannot."),
]


@strawberry.type
class Query:
    """Everything that can be asked."""

    @strawberry.field
    async def health(self, info: Info) -> Health:
        """How the service is."""
        return Health.from_health(await info.context.service.health())

    @strawberry.field
    async def workflow(
        self,
        info: Info,
        id: WorkflowId,
        at: Annotated[
            int | None,
            strawberry.argument(
                description="Show the run as it was after the event of this sequence; without it, as it is now."
            ),
        ] = None,
    ) -> WorkflowRun | None:
        """A run as it is now, or as it was; null if there is none of this id."""
        try:
            return await read_run(info, RunId(id), at)
        except WorkflowNotFoundError:
            return None

    @strawberry.field
    async def workflows(
        self,
        info: Info,
        *,
        first: Annotated[
            int | None, strawberry.argument(description="The first so many runs, from 1 to 100. Default 20.")
        ] = None,
        after: Annotated[str | None, strawberry.argument(description="Only runs behind this cursor.")] = None,
        last: Annotated[
            int | None, strawberry.argument(description="The last so many runs, from 1 to 100; not with `first`.")
        ] = None,
        before: Annotated[str | None, strawberry.argument(description="Only runs before this cursor.")] = None,
        filter: Annotated[WorkflowFilter | None, strawberry.argument(description="Which runs to show.")] = None,
        order_by: Annotated[
            WorkflowOrder | None, strawberry.argument(description="The order; newest first by default.")
        ] = None,
    ) -> WorkflowConnection:
        """Runs, a page at a time. A cursor holds only for the filter and the order it was made with."""
        pages = Pages(info.context.namespace, filter, order_by)
        query = pages.query(first=first, after=after, last=last, before=before)
        page = await info.context.service.list(info.context.namespace, query)
        runs = await _show(info, page.runs)
        cursors = [pages.cursor(summary) for summary, _ in runs]
        return WorkflowConnection(
            edges=[WorkflowEdge(cursor=cursor, node=run) for cursor, (_, run) in zip(cursors, runs, strict=True)],
            nodes=[run for _, run in runs],
            page_info=make_page_info(cursors, has_previous=page.has_previous, has_next=page.has_next),
        )

    @strawberry.field
    def tools(self, info: Info) -> list[Tool]:
        """The tools that nodes can call, by name."""
        return [Tool.from_definition(tool) for tool in info.context.service.tools(info.context.namespace).values()]

    @strawberry.field
    def tool(
        self, info: Info, name: Annotated[str, strawberry.argument(description="The tool's name.")]
    ) -> Tool | None:
        """One tool; null if there is none of this name."""
        tool = info.context.service.tools(info.context.namespace).get(name)
        return None if tool is None else Tool.from_definition(tool)

    @strawberry.field
    async def validate_workflow(
        self, info: Info, spec: Spec, input: Input = strawberry.UNSET
    ) -> ValidateWorkflowResult:
        """Check a document without running it: the plan of what would run, or every problem."""
        given = ABSENT if input is strawberry.UNSET else input
        service, namespace = info.context.service, info.context.namespace
        return WorkflowPlan.from_planned(await service.validate(namespace, to_document(spec), input=given))


async def _show(info: Info, runs: Iterable[RunSummary]) -> list[tuple[RunSummary, WorkflowRun]]:
    """Show the runs of a page: from their summaries if that is all that is asked for, else by reading them."""
    if set(_fields_of_runs(info.selected_fields)) <= SUMMARY_FIELDS:
        return [(summary, WorkflowRun.from_summary(summary)) for summary in runs]
    shown = [(summary, await _read_if_there(info, summary.run_id)) for summary in runs]
    return [(summary, run) for summary, run in shown if run is not None]


async def _read_if_there(info: Info, run_id: RunId) -> WorkflowRun | None:
    """Read a run, unless retention has just removed it."""
    try:
        # Give others their turn: a page may hold a hundred long logs.
        await asyncio.sleep(0)
        return await read_run(info, run_id)
    except WorkflowNotFoundError:
        return None


def _fields_of_runs(selections: Iterable[Selection], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Name the fields that are selected of the runs of a connection, through whatever fragments."""
    for selection in selections:
        if not isinstance(selection, SelectedField):
            yield from _fields_of_runs(selection.selections, path)
        elif path in {("workflows", "nodes"), ("workflows", "edges", "node")}:
            yield selection.name
        else:
            yield from _fields_of_runs(selection.selections, (*path, selection.name))
