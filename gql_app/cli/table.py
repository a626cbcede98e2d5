"""Sets rows in columns."""

from collections.abc import Sequence


def align(rows: Sequence[Sequence[str]]) -> str:
    """Write rows of equally many cells, one a line, each column as wide as it must be."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
