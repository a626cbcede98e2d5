"""All tools that assistants are offered, in one table."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from gql_app.cli.assistant import catalogue, guide, reading, starting, watching
from gql_app.cli.assistant.failures import AskedWronglyError, Failure
from gql_app.cli.assistant.reporting import Report
from gql_app.cli.assistant.shapes import Answer, Asked, schema_of
from gql_app.client import WorkflowClient
from gql_app.core.values import Json

AskedT = TypeVar("AskedT", bound=Asked)


@dataclass(frozen=True, kw_only=True)
class Offer(Generic[AskedT]):
    """A tool: what it is called and does, what it takes and answers, and who carries it out."""

    name: str
    title: str
    description: str
    asked: type[AskedT]
    answer: type[Answer]
    carry_out: Callable[[WorkflowClient, AskedT, Report], Awaitable[Answer]]
    reads: bool = True
    destroys: bool = False
    repeatable: bool = True
    """Whether doing it twice is the same as doing it once."""

    def read(self, arguments: dict[str, Json]) -> AskedT:
        """Take the arguments of a call. Raises `AskedWronglyError`, which says which are wrong and what there are."""
        # Many models write null for what they leave out; only an input may really be null.
        given = {name: value for name, value in arguments.items() if value is not None or name == "input"}
        try:
            return msgspec.convert(given, self.asked)
        except msgspec.ValidationError as error:
            names = ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(self.asked))
            raise AskedWronglyError(f"{error}. The arguments of {self.name} are {names}.") from None

    def input_schema(self) -> dict[str, Json]:
        """Describe the arguments."""
        return schema_of(self.asked)

    def output_schema(self) -> dict[str, Json]:
        """Describe the answer, or, in its place, the `failure`."""
        answer, failure = schema_of(self.answer), schema_of(Failure)
        inside = {**answer.pop("$defs", {}), **failure.pop("$defs", {}), "Failure": failure}
        properties = {**answer["properties"], "failure": {"$ref": "#/$defs/Failure"}}
        either = [{"required": answer["required"]}, {"required": ["failure"]}]
        return {"type": "object", "properties": properties, "anyOf": either, "$defs": inside}


OFFERS: Final[tuple[Offer[Json], ...]] = (
    Offer(
        name="validate_workflow",
        title="Check a workflow document",
        description=guide.VALIDATE,
        asked=starting.Validate,
        answer=starting.Validated,
        carry_out=starting.validate,
    ),
    Offer(
        name="submit_workflow",
        title="Run a workflow document",
        description=guide.SUBMIT,
        asked=starting.Submit,
        answer=starting.Started,
        carry_out=starting.submit,
        reads=False,
        repeatable=False,
    ),
    Offer(
        name="watch_workflow",
        title="Wait for a run",
        description=guide.WATCH,
        asked=watching.Watch,
        answer=watching.Watched,
        carry_out=watching.watch,
    ),
    Offer(
        name="get_workflow",
        title="Show a run",
        description=guide.GET_WORKFLOW,
        asked=reading.GetWorkflow,
        answer=reading.Workflow,
        carry_out=reading.get_workflow,
    ),
    Offer(
        name="get_node",
        title="Show a node of a run",
        description=guide.GET_NODE,
        asked=reading.GetNode,
        answer=reading.Node,
        carry_out=reading.get_node,
    ),
    Offer(
        name="list_workflows",
        title="List runs",
        description=guide.LIST_WORKFLOWS,
        asked=reading.ListWorkflows,
        answer=reading.Workflows,
        carry_out=reading.list_workflows,
    ),
    Offer(
        name="cancel_workflow",
        title="Stop a run",
        description=guide.CANCEL,
        asked=starting.Cancel,
        answer=starting.Cancelled,
        carry_out=starting.cancel,
        reads=False,
        destroys=True,
    ),
    Offer(
        name="retry_workflow",
        title="Run a document again",
        description=guide.RETRY,
        asked=starting.Retry,
        answer=starting.Started,
        carry_out=starting.retry,
        reads=False,
        repeatable=False,
    ),
    Offer(
        name="list_tools",
        title="List what nodes can call",
        description=guide.LIST_TOOLS,
        asked=catalogue.ListTools,
        answer=catalogue.Tools,
        carry_out=catalogue.list_tools,
    ),
)
