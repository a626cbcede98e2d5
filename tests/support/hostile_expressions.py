"""Expressions that cost far more than they look."""

from typing import Final

STRING_DOUBLER: Final = "['xx']" + ".map(x,x+x+x+x+x+x+x+x)" * 8
"""190 bytes that make a text of 32 MiB; every further 23 bytes multiply it by eight."""


def repeated(name: str, times: int) -> str:
    """Add a variable to itself, without nesting deeply."""
    if times == 1:
        return name
    return f"({repeated(name, times // 2)}+{repeated(name, times - times // 2)})"


def fattened(list_of_one: str, *times: int) -> str:
    """Multiply the length of what a list holds, once for each number and with as many comprehensions."""
    return list_of_one + "".join(f".map(x,{repeated('x', count)})" for count in times)


FAT_LIST: Final = fattened("[[" + "1," * 60 + "1]]", 200, 100)
"""Within every limit on documents: 2 KiB, two comprehensions. It would make 1,220,000 numbers, with more on the way."""

ENDLESS_PATTERN: Final = "input.text.matches(input.pattern)"
ENDLESS_INPUT: Final = {"text": "x" * 600_000, "pattern": "((x{1,10}){1,10}){1,10}y"}
"""Half a minute: a pattern may come with the data, and its size counts for every character."""
