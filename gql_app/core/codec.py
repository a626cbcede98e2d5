"""Events and runs as bytes: what stores keep, and back."""

from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import BaseModel

from gql_app.core.events import RunEvent
from gql_app.core.run import WorkflowRun


def _encode(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raise NotImplementedError(f"{type(value).__name__} cannot stand in an event.")


def _decode(kind: type, value: Any) -> Any:
    if issubclass(kind, BaseModel):
        return kind.model_validate(value)
    raise NotImplementedError(f"{kind.__name__} cannot stand in an event.")


_encoder = msgspec.json.Encoder(enc_hook=_encode)
_events = msgspec.json.Decoder(list[RunEvent], dec_hook=_decode)
_run = msgspec.json.Decoder(WorkflowRun, dec_hook=_decode)


def encode_event(event: RunEvent) -> bytes:
    """Encode one event as JSON; its tag says its type and version."""
    return _encoder.encode(event)


def encode_events(events: Sequence[RunEvent]) -> bytes:
    """Encode a log as a JSON array."""
    return _encoder.encode(events)


def decode_events(data: bytes) -> list[RunEvent]:
    """Decode what `encode_events` made. Raises `msgspec.ValidationError` for anything else."""
    return _events.decode(data)


def snapshot(run: WorkflowRun) -> bytes:
    """Encode a run as it stands."""
    return _encoder.encode(run)


def restore(data: bytes) -> WorkflowRun:
    """Make the run again that `snapshot` encoded."""
    return _run.decode(data)
