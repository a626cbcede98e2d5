"""Tools that stream, fail on the way and take steps, as authors write them; and what a client must make of it."""

import asyncio
from collections.abc import Iterable

from gql_app import ToolContext, ToolError, tool
from gql_app.core.events import StepKind
from gql_app.core.values import Json
from gql_app.ports import Tool
from tests.support.gate import Gate


@tool(name="stammer")
async def stammer(context: ToolContext, words: int = 40, fails: int = 1) -> str:
    """Tell words, and lose the thread half way so many times."""
    text = ""
    for number in range(words):
        if context.attempt <= fails and number == words // 2:
            raise ToolError("lost the thread", retry_after=0.01)
        word = f"word{number} "
        context.emit(word)
        text += word
        await asyncio.sleep(0.004)
    return text


@tool(name="think")
async def think(context: ToolContext) -> str:
    """Ask a model that fails at its first try, then call a tool."""

    async def ask(inner: ToolContext) -> Json:
        inner.emit(f"thought {inner.attempt}. ")
        if inner.attempt == 1:
            raise ToolError("overloaded", type="Overloaded", retry_after=0.01)
        inner.report_usage(requests=1, input_tokens=12, output_tokens=3, cost_usd=0.25)
        return {"text": f"thought {inner.attempt}. "}

    answer = await context.step("model-1", ask, kind=StepKind.MODEL, name="test-model", input={"prompt": "why?"})
    await context.call_tool("call-1", "echo", {"value": {"query": "graphql"}})
    context.log("info", "almost done", left=1)
    context.emit("Done.")
    return str(answer["text"]) + "Done."


TOOLS: tuple[Tool, ...] = (stammer, think)


def streaming(gate: Gate) -> Iterable[Tool]:
    """Make a tool that streams something wrong and fails, then something right, and waits at a gate."""

    @tool(name="speak.at.gate")
    def speak_at_gate(context: ToolContext) -> str:
        if context.attempt == 1:
            context.emit("wrong")
            raise ToolError("no")
        context.emit("right so far")
        context.progress(0.5, "half way")
        gate.wait()
        return "right so far"

    return [speak_at_gate]


def told_text(events: Iterable[Json], node: str, before: str = "") -> str:
    """Put together what a client shows of a node: what it had before, and what events tell since."""
    pieces: list[tuple[str | None, str]] = [(None, before)] if before else []
    for event in events:
        if event.get("nodeId") != node:
            continue
        match event["__typename"]:
            case "AttemptFailed" | "AttemptTimedOut" | "AttemptLost":
                pieces = []
            case "NodeOutputChunk":
                pieces.append((event["withinStep"], event["text"]))
            case "StepFailed":
                void, inside = event["stepId"], f"{event['stepId']}/"
                pieces = [each for each in pieces if each[0] != void and not (each[0] or "").startswith(inside)]
            case _:
                pass
    return "".join(text for _, text in pieces)
