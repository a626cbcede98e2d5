"""A tool that streams what it reads, and the database that all its calls share. Its tests are in test_glossary.py."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

from gql_app import RetryPolicy, ToolContext, ToolError, resource, tool

WORDS = {
    "drone": "A male bee, which gathers nothing.",
    "queen": "The one bee that lays eggs.",
    "swarm": "A queen and half the hive, on their way to a new home.",
}


@resource
def glossary() -> Iterator[sqlite3.Connection]:
    """Open the database when the service starts; what follows the `yield` closes it when the service ends."""
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as database:
        database.execute("CREATE TABLE words (word TEXT PRIMARY KEY, meaning TEXT)")
        database.executemany("INSERT INTO words VALUES (?, ?)", WORDS.items())
        yield database


@tool(retry=RetryPolicy(maximum_attempts=2))
def explain(words: list[str], context: ToolContext) -> Iterator[str]:
    """Explain words, a line each."""
    database = context.resource(glossary)
    for number, word in enumerate(words):
        row = database.execute("SELECT meaning FROM words WHERE word = ?", (word,)).fetchone()
        if row is None:
            raise ToolError(f"Nobody knows what {word!r} means.", type="UnknownWord", retryable=False)
        context.progress(number / len(words), f"at {word!r}")
        yield f"{word}: {row[0]}\n"
