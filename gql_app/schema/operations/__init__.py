"""The named operations that the product itself uses, as GraphQL documents."""

from importlib.resources import files
from typing import Final

NAMES: Final = (
    "SubmitWorkflow",
    "GetWorkflow",
    "GetNode",
    "GetOutputs",
    "ListWorkflows",
    "WorkflowUpdates",
    "OutputSoFar",
    "ListSteps",
    "CancelWorkflow",
    "RetryWorkflow",
    "DeleteWorkflow",
    "ValidateWorkflow",
    "ListTools",
    "Health",
)
"""Every operation; each stands in a file of its own and is named like it."""


def load(name: str) -> str:
    """Read an operation. Raises `KeyError` for one that is not in `NAMES`."""
    if name not in NAMES:
        raise KeyError(f"No operation {name!r}; there are {', '.join(NAMES)}.")
    return (files(__name__) / f"{name}.graphql").read_text(encoding="utf-8")
