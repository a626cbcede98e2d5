"""Reads lines of JSON and gives the runs that are complete; tells what is wrong with the others."""

from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from gql_app.storage.sql.lines import (
    VERSION,
    EventsLine,
    Footer,
    Header,
    Line,
    RunDropped,
    RunEnd,
    RunLine,
    ValueLine,
    decode_line,
)
from gql_app.storage.sql.staging import DamagedRunError, StagedRun

MAXIMUM_LINE: Final = 512 << 20


class InvalidExportError(Exception):
    """What is read is not what `gql-app export` wrote, or not all of it; the message says why."""


class Arrivals:
    """The runs of a file, one after the other. Whoever is given one closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self.problems: list[str] = []
        """What is wrong with runs that cannot be given."""
        self._file = file
        self._number = 0
        self._begun = False
        """Whether there was a header, and no footer since."""
        self._staged: StagedRun | None = None
        self._skips = False

    def __iter__(self) -> Iterator[StagedRun]:
        """Give the runs that are complete. Raises `InvalidExportError`."""
        try:
            while (line := self._read()) is not None:
                if (complete := self._take(line)) is not None:
                    yield complete
            self._check_end()
        finally:
            if self._staged is not None:
                self._staged.close()

    def _read(self) -> Line | None:
        """Read the next line that is one."""
        while data := self._file.readline(MAXIMUM_LINE):
            self._number += 1
            try:
                line = decode_line(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if not data.endswith(b"\n"):
                    break
                self._refuse_line(f"line {self._number} cannot be read ({error})")
                continue
            if self._number == 1 and not isinstance(line, Header):
                self._refuse_line("")
            return line
        return None

    def _refuse_line(self, reason: str) -> None:
        if not self._begun:
            raise InvalidExportError(f"Line {self._number} is not the first line of what `gql-app export` writes.")
        if self._staged is not None:
            self._drop(reason)
        elif not self._skips:
            self.problems.append(f"{reason[0].upper()}{reason[1:]}.")

    def _take(self, line: Line) -> StagedRun | None:
        match line:
            case Header():
                self._begin(line)
            case RunLine():
                self._begin_run(line)
            case EventsLine() | ValueLine() | RunEnd():
                return self._go_on(line)
            case RunDropped():
                if self._staged is not None:
                    self._staged.close()
                self._staged = None
            case Footer():
                self._check_run()
                self._begun = False
        return None

    def _begin(self, header: Header) -> None:
        if header.version > VERSION:
            message = (
                f"It was written by a newer version of gql-app (format {header.version}; this one reads {VERSION})."
            )
            raise InvalidExportError(message)
        self._check_run()
        self._begun = True

    def _begin_run(self, line: RunLine) -> None:
        self._check_run()
        self._skips = False
        try:
            self._staged = StagedRun(line)
        except DamagedRunError as error:
            self._refuse(line.run, error)

    def _go_on(self, line: EventsLine | ValueLine | RunEnd) -> StagedRun | None:
        staged = self._staged
        if staged is None:
            if not self._skips:
                self._skips = True
                self.problems.append(f"Line {self._number} belongs to no run.")
            return None
        try:
            match line:
                case EventsLine():
                    staged.add_events(line)
                case ValueLine():
                    staged.add_value(line)
                case RunEnd():
                    staged.complete()
                    self._staged = None
                    return staged
        except DamagedRunError as error:
            self._drop(str(error))
        return None

    def _drop(self, reason: str) -> None:
        """Leave a run out, and the lines that follow up to the next one."""
        staged, self._staged = self._staged, None
        assert staged is not None
        staged.close()
        self._refuse(staged.line.run, reason)

    def _refuse(self, run_id: str, reason: object) -> None:
        self._skips = True
        self.problems.append(f"Run {run_id} is left out: {reason}.")

    def _check_run(self) -> None:
        if self._staged is not None:
            self._drop("its last lines are missing")

    def _check_end(self) -> None:
        self._check_run()
        if self._begun:
            raise InvalidExportError(f"It is cut off after line {self._number}: its last line is missing.")
        if not self._number:
            raise InvalidExportError("It is empty; not even the first line of an export is there.")
