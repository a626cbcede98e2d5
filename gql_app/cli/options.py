"""The arguments that several commands have in common."""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEFAULT_URL: Final = "http://127.0.0.1:8000"
TOPICS: Final = ("status", "output", "log", "progress")


class WhatToShow(NamedTuple):
    """What is shown of a run that goes on: these topics and nodes, or all."""

    only: Sequence[str] | None = None
    nodes: Sequence[str] | None = None

    @property
    def table(self) -> bool:
        """Whether enough is known to draw all nodes and where they stand."""
        return self.only is None or "STATUS" in self.only


EVERYTHING: Final = WhatToShow()


def add_command(commands: Commands, name: str, summary: str, *examples: str, more: str = "") -> argparse.ArgumentParser:
    """Add a command with its help."""
    epilog = "examples:\n" + "\n".join(f"  {example}" for example in examples)
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.{more and ' '}{more}",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_file(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the document."""
    text = "the document: JSON or YAML, - for standard input"
    if optional:
        parser.add_argument("file", metavar="FILE", nargs="?", help=text)
    else:
        parser.add_argument("file", metavar="FILE", help=text)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the run's input."""
    parser.add_argument("--input", metavar="JSON|@FILE", help="the run's input, instead of the document's own")


def add_tools(parser: "argparse.ArgumentParser | argparse._MutuallyExclusiveGroup") -> None:
    """Add the modules of tools."""
    parser.add_argument(
        "--tools",
        metavar="MODULE",
        action="extend",
        nargs="+",
        default=[],
        help="Python modules to load tools from, also from the current directory (GQL_APP_TOOLS)",
    )


def add_id(parser: argparse.ArgumentParser) -> None:
    """Add the run's id."""
    parser.add_argument("id", metavar="ID", help="the run's id")


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add where the server is; the environment may say so, too."""
    url = os.environ.get("GQL_APP_URL") or DEFAULT_URL
    parser.add_argument("--url", default=url, help=f"where the server is (GQL_APP_URL; now {url})")
    add_token(parser)


def add_token(parser: argparse.ArgumentParser) -> None:
    """Add who asks. What the environment says of it is not shown in any help."""
    parser.add_argument("--token", help="an API key or JWT, where the server asks for one (better: GQL_APP_TOKEN)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the choice to have JSON."""
    parser.add_argument("--json", action="store_true", help="write JSON")


def add_shown(parser: argparse.ArgumentParser) -> None:
    """Add what is shown of a run that goes on."""
    parser.add_argument(
        "--only",
        metavar="TOPIC,…",
        type=_topics,
        action="extend",
        help=f"show only this: {', '.join(TOPICS)}",
    )
    parser.add_argument(
        "--node", metavar="ID", action="append", help="show only what this node does; may be given several times"
    )


def what_to_show(options: argparse.Namespace) -> WhatToShow:
    """Tell what was asked to be shown."""
    return WhatToShow(only=options.only, nodes=options.node)


def _topics(text: str) -> list[str]:
    topics = [topic.strip().lower() for topic in text.split(",")]
    for topic in topics:
        if topic not in TOPICS:
            raise argparse.ArgumentTypeError(f"{topic!r} is none of {', '.join(TOPICS)}")
    return [topic.upper() for topic in topics]


def natural(lowest: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from `lowest` on."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} on")
        return int(text)

    return read
