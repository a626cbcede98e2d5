"""Puts what attempts do and show into words: their steps, logs and progress, and what language models were used for."""

import json
from typing import Final

from gql_app.cli.output import clean
from gql_app.client import NodeProgress, RunEvent, Step, Usage

BAR: Final = 10
SHORT: Final = 120
SHOWN_KINDS: Final = frozenset({"NodeLog", "NodeProgress", "StepQueued", "StepStarted", "StepFailed", "StepCompleted"})
"""The events that are told here."""


def describe_usage(usage: Usage) -> str:
    """Say what language models were used for."""
    requests = "1 request" if usage.requests == 1 else f"{usage.requests:,} requests"
    parts = [requests] if usage.requests else []
    parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    if usage.cost_usd is not None:
        parts.append(f"${usage.cost_usd:.4f}")
    return ", ".join(parts)


def describe_progress(progress: NodeProgress, *, bar: bool = False) -> str:
    """Say how far something has come."""
    parts = []
    if progress.fraction is not None:
        percent = f"{progress.fraction * 100:.0f} %"
        full = int(progress.fraction * BAR)
        parts.append(f"[{'#' * full}{'.' * (BAR - full)}] {percent}" if bar else percent)
    if progress.message:
        parts.append(clean(progress.message, SHORT))
    return "  ".join(parts) if bar else ", ".join(parts)


def describe_log(event: RunEvent) -> str:
    """Say what was logged, in one line."""
    fields = " ".join(f"{clean(name, 40)}={_short(value)}" for name, value in event.fields.items())
    line = f"{event.level}: {clean(event.message)}"
    more = "  (more was logged than is kept)" if event.truncated else ""
    return f"{line}  {fields}{more}" if fields else f"{line}{more}"


def describe_step(step: Step) -> str:
    """Say what a step does, in one line."""
    return _doing(step.kind, step.name, step.input_preview)


def describe_activity(event: RunEvent) -> str:
    """Say what happened inside an attempt; how a step failed is left to others."""
    match event.kind:
        case "NodeLog":
            return describe_log(event)
        case "NodeProgress":
            told = describe_progress(NodeProgress(fraction=event.fraction, message=event.message))
            return f"progress: {told}" if told else "progress"
        case "StepStarted":
            again = f" (try {event.step_attempt})" if event.step_attempt > 1 else ""
            return f"{indent(event.step_id)}{doing(event)}{again}"
        case "StepCompleted":
            return f"{indent(event.step_id)}{_done(event)}"
        case "StepFailed":
            again = f" (try {event.step_attempt})" if event.step_attempt > 1 else ""
            return f"{indent(event.step_id)}{clean(event.step_name, SHORT)} failed{again}"
        case _:
            return f"{indent(event.step_id)}{clean(event.step_name, SHORT)}"


def doing(event: RunEvent) -> str:
    """Say what a step does that begins."""
    return _doing(event.step_kind, event.step_name, event.input_preview)


def indent(step_id: str | None) -> str:
    """Move what happens inside a step to the right."""
    return "  " * (step_id or "").count("/")


def _doing(kind: str | None, name: str, given: str | None) -> str:
    name = clean(name, SHORT)
    match kind:
        case "MODEL":
            return f"asks {name}"
        case "TOOL":
            return f"calls {name}" + (f" {clean(given, SHORT)}" if given else "")
        case _:
            return f"does {name}"


def _done(event: RunEvent) -> str:
    name = clean(event.step_name, SHORT)
    match event.step_kind:
        case "MODEL":
            used = f": {describe_usage(event.usage)}" if event.usage is not None else ""
            return f"{name} answered{used}"
        case "TOOL":
            return f"{name} returned" + (f" {clean(event.output_preview, SHORT)}" if event.output_preview else "")
        case _:
            return f"{name} is done"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return clean(text, 60)
