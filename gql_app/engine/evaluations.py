"""Answers what the machine asks to have evaluated: the conditions of nodes and the output of the run."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

import orjson

from gql_app.core.errors import ExpressionError, ToolError
from gql_app.core.expressions import Expression, Template, compile_expression, compile_template
from gql_app.core.formulas import heavy_data
from gql_app.core.run import NodeRun, WorkflowRun
from gql_app.core.scope import scope, values_of
from gql_app.core.signals import Evaluate, Evaluated, EvaluationTarget, Signal
from gql_app.core.values import Json
from gql_app.engine.failures import as_failure
from gql_app.engine.loading import load_value
from gql_app.engine.outputs import as_value, encode_output
from gql_app.ports import Evaluator, RunRepository

logger = logging.getLogger(__name__)


class Evaluations:
    """The evaluations of one run. `fresh` holds the values that are told but not stored yet, by sha256."""

    __slots__ = ("_evaluator", "_fresh", "_maximum_bytes", "_repository", "_run", "_tasks", "_tell")

    def __init__(
        self,
        run: WorkflowRun,
        fresh: dict[str, bytes],
        tell: Callable[[Signal], None],
        *,
        repository: RunRepository,
        evaluator: Evaluator,
        maximum_bytes: int,
    ) -> None:
        self._run = run
        self._repository = repository
        self._evaluator = evaluator
        self._fresh = fresh
        self._tell = tell
        self._maximum_bytes = maximum_bytes
        self._tasks: set[asyncio.Task[None]] | None = None

    def answer(self, command: Evaluate) -> None:
        """Answer at once if every value is at hand and the evaluation costs little, else as soon as it is done."""
        try:
            formula = self._formula(command)
        except Exception as error:  # noqa: BLE001 - an edge: the expression was checked by another version of us
            self._refuse(command, error)
            return
        values = [node.output for node in self._sinks()] if formula is None else values_of(self._run, formula.paths)
        missing = {value.sha256 for value in values if value.sha256 is not None} - self._fresh.keys()
        if missing:
            # A copy: what is fresh now is stored, and no longer fresh, before the rest has been read.
            self._go_on(self._fetch_and_evaluate(command, formula, missing, dict(self._fresh)))
        else:
            self._evaluate(command, formula, self._fresh)

    def close(self) -> None:
        """Stop what still waits for values; nothing is told any more."""
        for task in self._tasks or ():
            task.cancel()

    def _go_on(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _formula(self, command: Evaluate) -> Expression | Template | None:
        """Tell what is to be evaluated; for a run's output without a template nothing: its sinks are read."""
        if command.target is EvaluationTarget.WHEN:
            return compile_expression(self._when(command))
        output = self._run.plan.output
        return None if output is None else compile_template(output)

    def _when(self, command: Evaluate) -> str:
        assert command.node is not None
        when = self._run.node_plan(command.node).when
        assert when is not None
        return when

    def _sinks(self) -> list[NodeRun]:
        run = self._run
        return [run.nodes[i] for i, dependents in enumerate(run.topology.dependents) if not dependents]

    async def _fetch_and_evaluate(
        self, command: Evaluate, formula: Expression | Template | None, missing: set[str], stored: dict[str, bytes]
    ) -> None:
        run = self._run
        try:
            for sha256 in sorted(missing):
                stored[sha256] = await load_value(self._repository, run.namespace, run.run_id, sha256)
        except Exception as error:
            logger.exception("A value of run %s could not be read.", run.run_id)
            self._refuse(command, error)
            return
        self._evaluate(command, formula, stored)

    def _evaluate(self, command: Evaluate, formula: Expression | Template | None, stored: dict[str, bytes]) -> None:
        try:
            if formula is None:
                self._tell_output(command, self._default_output(stored))
                return
            data = scope(self._run, formula.paths, stored)
            if heavy_data(formula, data) is None:
                self._tell_result(command, formula.evaluate(data))
            else:
                self._go_on(self._evaluate_elsewhere(command, formula, data))
        except ToolError as error:
            self._refuse(command, error)

    async def _evaluate_elsewhere(
        self, command: Evaluate, formula: Expression | Template, data: dict[str, Json]
    ) -> None:
        run = self._run
        try:
            result = await self._evaluator.evaluate(formula, data, namespace=run.namespace, run_id=run.run_id)
            self._tell_result(command, result)
        except ToolError as error:
            self._refuse(command, error)
        except Exception as error:
            logger.exception("An expression of run %s could not be evaluated.", run.run_id)
            self._refuse(command, error)

    def _tell_result(self, command: Evaluate, result: Json) -> None:
        if command.target is EvaluationTarget.WHEN:
            self._tell_truth(command, result)
        else:
            self._tell_output(command, encode_output(result, self._maximum_bytes))

    def _default_output(self, stored: dict[str, bytes]) -> bytes:
        """Encode the outputs of the nodes nobody depends on, by id."""
        parts = []
        for node in self._sinks():
            value = node.output
            data = bytes(value.json) if value.sha256 is None else stored[value.sha256]
            parts.append(b"%b:%b" % (orjson.dumps(str(node.key)), data))
        return b"{%b}" % b",".join(parts)

    def _tell_truth(self, command: Evaluate, result: Json) -> None:
        if isinstance(result, bool):
            self._tell(Evaluated(target=command.target, node=command.node, truth=result))
        else:
            shown = orjson.dumps(result).decode()[:100]
            self._refuse(command, ExpressionError(f"`when` ({self._when(command)}) is not a boolean but {shown}."))

    def _tell_output(self, command: Evaluate, data: bytes) -> None:
        output = as_value(data)
        if output.sha256 is not None:
            self._fresh[output.sha256] = data
        self._tell(Evaluated(target=command.target, output=output))

    def _refuse(self, command: Evaluate, error: Exception) -> None:
        self._tell(Evaluated(target=command.target, node=command.node, error=as_failure(error)))
