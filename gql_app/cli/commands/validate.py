"""`gql-app validate`: checks a document without running it."""

import argparse
from typing import Final

import msgspec

from gql_app.bootstrap import application
from gql_app.cli.documents import read_document, read_input
from gql_app.cli.facts import problem_of
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.output import clean, say, tell
from gql_app.cli.remote import connected
from gql_app.cli.settings import load_settings
from gql_app.cli.words import describe_problems
from gql_app.client import InvalidDocumentError, NodePlan, WorkflowPlan
from gql_app.core.errors import InvalidWorkflowError, WorkflowError
from gql_app.core.ids import DEFAULT_NAMESPACE
from gql_app.core.planning import ABSENT, layers
from gql_app.core.values import Json
from gql_app.settings import Settings
from gql_app.web.loop import run as run_loop

SHOWN_NAMES: Final = 8


def main(options: argparse.Namespace) -> int:
    """Check a document with the tools there are here, or on a server, and show in which order its nodes can run."""
    document, given = read_document(options.file), read_input(options.input)
    try:
        if options.url is None:
            settings = load_settings(tools=tuple(options.tools))
            plan = run_loop(_check_here(settings, document, given))
        else:
            plan = run_loop(_check_there(options, document, given))
    except InvalidDocumentError as error:
        for line in describe_problems(error.problems):
            tell(line)
        return ExitCode.INVALID
    _show(plan)
    return ExitCode.OK


async def _check_here(settings: Settings, document: Json, given: Json) -> WorkflowPlan:
    try:
        async with application(settings) as opened:
            value = ABSENT if given is msgspec.UNSET else given
            plan = (await opened.service.validate(DEFAULT_NAMESPACE, document, input=value)).plan
    except InvalidWorkflowError as error:
        raise InvalidDocumentError([problem_of(problem) for problem in error.problems]) from None
    except WorkflowError as error:
        raise CommandError(str(error)) from None
    nodes = tuple(NodePlan(id=str(node.key), tool=node.tool, depends_on=node.depends_on) for node in plan.nodes)
    return WorkflowPlan(name=plan.name, nodes=nodes, layers=layers(plan))


async def _check_there(options: argparse.Namespace, document: Json, given: Json) -> WorkflowPlan:
    async with connected(options) as client:
        return await client.validate(document, input=given)


def _show(plan: WorkflowPlan) -> None:
    nodes = "1 node" if len(plan.nodes) == 1 else f"{len(plan.nodes)} nodes"
    steps = "1 layer" if len(plan.layers) == 1 else f"{len(plan.layers)} layers"
    say(f"{clean(plan.name)} is valid: {nodes} in {steps}.")
    for number, layer in enumerate(plan.layers, 1):
        more = f" and {len(layer) - SHOWN_NAMES} more" if len(layer) > SHOWN_NAMES else ""
        say(f"  {number}. {', '.join(layer[:SHOWN_NAMES])}{more}")
