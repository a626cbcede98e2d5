"""For those who write tools: call one, or run a whole document, in a test, on virtual time and with scripted tools.

Nothing here needs a plug-in of a test runner.
"""

from gql_app.core.errors import InvalidWorkflowError
from gql_app.testing.failures import NoOutputError, ScriptError
from gql_app.testing.results import (
    AttemptResult,
    LogLine,
    NodeResult,
    ProgressReport,
    RunResult,
    StepResult,
)
from gql_app.testing.scripted import Delay, Hang, RecordedCall, ScriptedTool, Stream
from gql_app.testing.tool_calls import ToolResult, call_tool, call_tool_async
from gql_app.testing.virtual_time import VirtualTimeLoop, on_virtual_time, run_on_virtual_time
from gql_app.testing.workflow import run_workflow, run_workflow_async

__all__ = [
    "AttemptResult",
    "Delay",
    "Hang",
    "InvalidWorkflowError",
    "LogLine",
    "NoOutputError",
    "NodeResult",
    "ProgressReport",
    "RecordedCall",
    "RunResult",
    "ScriptError",
    "ScriptedTool",
    "StepResult",
    "Stream",
    "ToolResult",
    "VirtualTimeLoop",
    "call_tool",
    "call_tool_async",
    "on_virtual_time",
    "run_on_virtual_time",
    "run_workflow",
    "run_workflow_async",
]
