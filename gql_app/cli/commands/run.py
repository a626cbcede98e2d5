"""`gql-app run`: runs a document in this process."""

import argparse
import asyncio
import sys
from contextlib import aclosing, suppress
from typing import Final, TextIO

import msgspec

from gql_app.bootstrap import MEMORY, Application, application
from gql_app.cli.board import LocalBoard
from gql_app.cli.documents import read_document, read_input
from gql_app.cli.facts import event_of, problem_of, run_of
from gql_app.cli.failures import CommandError, ExitCode
from gql_app.cli.interruption import Interruption
from gql_app.cli.options import WhatToShow, what_to_show
from gql_app.cli.output import reserved_stdout, tell, to_json
from gql_app.cli.settings import load_settings
from gql_app.cli.view import make_view
from gql_app.cli.words import describe_end, describe_problems
from gql_app.core.errors import InvalidWorkflowError, WorkflowAlreadyFinishedError, WorkflowError
from gql_app.core.ids import DEFAULT_NAMESPACE, RunId
from gql_app.core.planning import ABSENT
from gql_app.core.run import RunStatus, WorkflowRun
from gql_app.core.values import Json
from gql_app.service import UpdateTopic
from gql_app.settings import Settings
from gql_app.telemetry.logs import logged
from gql_app.web.loop import run as run_loop

_STOPPING: Final = "Stopping the run; once more leaves at once."


def main(options: argparse.Namespace) -> int:
    """Run a document, show how it goes, and write its output."""
    document, given = read_document(options.file), read_input(options.input)
    given = ABSENT if given is msgspec.UNSET else given
    settings = load_settings(tools=tuple(options.tools), store=MEMORY)
    with reserved_stdout() as result, logged(settings, sys.stderr):
        return run_loop(_run(settings, document, given, what_to_show(options), result))


async def _run(settings: Settings, document: Json, given: Json, shown: WhatToShow, result: TextIO) -> int:
    with Interruption().listening() as interruption:
        try:
            async with application(settings) as opened:
                run = await opened.service.submit(DEFAULT_NAMESPACE, document, input=given)
                run = await _follow(opened, run.run_id, interruption, shown)
                if run.status is RunStatus.COMPLETED:
                    result.write(f"{to_json(await opened.service.value(run, run.output), result)}\n")
                    return ExitCode.OK
        except InvalidWorkflowError as error:
            for line in describe_problems(map(problem_of, error.problems)):
                tell(line)
            return ExitCode.INVALID
        except WorkflowError as error:
            raise CommandError(str(error)) from None
        for line in describe_end(run_of(run)):
            tell(line)
        stopped = interruption.code is not None and run.status is RunStatus.CANCELLED
        return interruption.code if stopped and interruption.code is not None else ExitCode.FAILED


async def _follow(opened: Application, run_id: RunId, interruption: Interruption, shown: WhatToShow) -> WorkflowRun:
    """Show a run until it has ended; give it as it is then."""
    stopper = asyncio.create_task(_stop_when_asked(opened, run_id, interruption))
    try:
        with make_view(table=shown.table) as view:
            only = None if shown.only is None else [UpdateTopic(topic) for topic in shown.only]
            watching = opened.service.watch(DEFAULT_NAMESPACE, run_id, after=0, only=only, nodes=shown.nodes)
            async with aclosing(watching) as updates:
                async for update in updates:
                    run = update.run
                    view.show(LocalBoard(run, shown.nodes), [event_of(run, event) for event in update.events])
    finally:
        stopper.cancel()
    return await opened.service.get(DEFAULT_NAMESPACE, run_id)


async def _stop_when_asked(opened: Application, run_id: RunId, interruption: Interruption) -> None:
    await interruption.wait()
    tell(_STOPPING)
    with suppress(WorkflowAlreadyFinishedError):
        await opened.service.cancel(DEFAULT_NAMESPACE, run_id, "Interrupted.")
