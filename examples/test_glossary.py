"""Tests of the tools in glossary.py, and of a document around them. They need pytest, and none of its plug-ins."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from glossary import explain, glossary
from gql_app import ToolError
from gql_app.testing import Hang, ScriptedTool, call_tool, run_workflow

REPORT = {
    "name": "report",
    "timeoutSeconds": 86_400,
    "nodes": [
        {"id": "words", "tool": "explain", "input": {"words": ["queen", "swarm"]}},
        {"id": "order", "tool": "shop.order", "input": {"text": "${ nodes.words.output }"}},
    ],
    "output": "${ nodes.order.output.number }",
}


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as database:
        database.execute("CREATE TABLE words (word, meaning)")
        database.execute("INSERT INTO words VALUES ('a', 'first'), ('b', 'second')")
        yield database


def test_each_line_is_shown_as_soon_as_it_is_there(database: sqlite3.Connection) -> None:
    result = call_tool(explain, {"words": ["a", "b"]}, resources={glossary: database})

    assert result.chunks == ("a: first\n", "b: second\n")
    assert result.output == "a: first\nb: second\n"
    assert [report.fraction for report in result.progress] == [0, 0.5]


def test_a_word_that_nobody_knows_is_told_and_not_tried_again(database: sqlite3.Connection) -> None:
    result = call_tool(explain, {"words": ["a", "x"]}, resources={glossary: database})

    assert result.error is not None
    assert (result.error.type, result.error.retryable) == ("UnknownWord", False)
    with pytest.raises(ToolError, match="Nobody knows what 'x' means"):
        _ = result.output


def test_the_report_is_ordered_in_the_morning_if_the_shop_is_closed_at_night() -> None:
    shop = ScriptedTool("shop.order", [ToolError("Closed.", retry_after=8 * 3600), Hang(), {"number": 7}])

    run = run_workflow(REPORT, tools=[explain, shop])

    assert run.output == 7
    assert shop.calls[0].input["text"].startswith("queen: The one bee that lays eggs.\n")
    # After eight hours it hangs, is timed out after a minute, and is tried again two seconds later.
    assert [attempt.started for attempt in run.nodes["order"].attempts] == [0, 28_800, 28_862]
