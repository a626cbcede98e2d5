"""Writes the log: a line of JSON for each record, or text for readers on a terminal."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from pythonjsonlogger.core import LogData
from pythonjsonlogger.orjson import OrjsonFormatter

from gql_app.settings import LogFormat, Settings
from gql_app.telemetry.context import log_fields

_TALKATIVE: Final = frozenset({"client", "httpcore", "httpcore2", "httpx", "httpx2", "mcp", "websockets"})
"""Loggers that write down what goes in and out of tools and connections; they are heard from a warning on."""
_redactions: Final[list[Callable[[str], str]]] = []
_RESERVED: Final = frozenset({"timestamp", "level", "logger", "message", "exception"})


@contextmanager
def redacted(redact: Callable[[str], str]) -> Iterator[None]:
    """Pass every line of the log through `redact` before it is written, in the block: it takes out what is secret."""
    _redactions.append(redact)
    try:
        yield
    finally:
        _redactions.remove(redact)


@contextmanager
def logged(settings: Settings, stream: TextIO) -> Iterator[None]:
    """Write the log of this process to a stream in the block, as the settings say."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(settings.log_format, stream))
    handler.addFilter(_is_discreet)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


class JsonLines(OrjsonFormatter):
    """One JSON object a record: what, when, where from, and what the code was about."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return _redact(super().format(record))

    def add_fields(self, log_data: LogData, record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Gather the members of the object."""
        log_data["timestamp"] = _time(record)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = record.getMessage()
        log_data.update(_more(record))
        if record.exc_info or record.exc_text:
            log_data["exception"] = message_dict.get("exc_info")


class ConsoleLines(logging.Formatter):
    """Text: time, level and logger, the message, and then what the code was about."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        about = "".join(f" {name}={_on_one_line(value)}" for name, value in _more(record).items())
        lines = [f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{about}"]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        return _redact("\n".join(lines))


def _is_discreet(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] not in _TALKATIVE


def _formatter(choice: LogFormat, stream: TextIO) -> logging.Formatter:
    on_terminal = choice is LogFormat.AUTO and stream.isatty()
    return ConsoleLines() if on_terminal or choice is LogFormat.CONSOLE else JsonLines()


def _time(record: logging.LogRecord) -> str:
    text = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _more(record: logging.LogRecord) -> LogData:
    """Tell what the code was about, and what the record has of its own (`extra`)."""
    own = {name: value for name, value in record.__dict__.items() if name not in _PLAIN and name not in _RESERVED}
    return {**log_fields(), **own}


def _on_one_line(value: object) -> str:
    """Write a value so that it cannot pass for a line of its own."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def _redact(text: str) -> str:
    for redact in _redactions:
        text = redact(text)
    return text


_PLAIN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"asctime", "color_message", "message", "taskName"}
"""What every record has; uvicorn adds `color_message`."""
