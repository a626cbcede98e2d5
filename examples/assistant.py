"""What an assistant does with `gql-app mcp`, as a program: start it, hand it a document, wait for the run.

    python examples/assistant.py FILE [--url http://127.0.0.1:8000]

Needs `gql-app[mcp]`. Ends with 0 if the run completed, and with 1 if it did not, or was not started.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import TextContent

# A language model decides which tools to call with what, and reads what they answer. Here a program does.
LONGEST_WAIT = 20.0


async def run(client: Client, document: str) -> int:
    """Run a document to its end."""
    failed, submitted = await call(client, "submit_workflow", document=document)
    if failed:
        # All that is wrong with it, for a model to correct.
        print(failed)
        return 1
    run_id, after = submitted["workflow"]["id"], 0
    print(f"Run {run_id} was submitted.")
    while True:
        failed, watched = await call(client, "watch_workflow", id=run_id, after=after, seconds=LONGEST_WAIT)
        if failed:
            print(failed)
            return 1
        for line in watched.get("events", []):
            print(line)
        if watched["ended"]:
            break
        # An assistant may do something else now, and go on from here whenever it likes.
        after = watched["sequence"]
    print(watched["workflow"]["status"], json.dumps(watched.get("output", {}).get("value")))
    return 0 if watched["workflow"]["status"] == "COMPLETED" else 1


async def call(client: Client, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """Call a tool: what it says if it fails, and what it answers."""

    async def show(progress: float, total: float | None, message: str | None) -> None:
        if sys.stderr.isatty():
            print(f"{progress:4.0%} {message}", file=sys.stderr)

    result = await client.call_tool(tool, arguments, progress_callback=show)
    texts = [content.text for content in result.content if isinstance(content, TextContent)]
    return "\n".join(texts) if result.is_error else "", result.structured_content


async def main() -> int:
    """Read the arguments, and start what the assistant talks to."""
    parser = argparse.ArgumentParser(description="Run a document as an assistant would.")
    parser.add_argument("file", metavar="FILE", type=Path)
    url = os.environ.get("GQL_APP_URL", "http://127.0.0.1:8000")
    parser.add_argument("--url", default=url, help="where the service is (now %(default)s)")
    options = parser.parse_args()
    # It is handed only these variables. The token, if the service wants one, says who the assistant works for.
    kept = {name: os.environ[name] for name in ("GQL_APP_TOKEN", "PYTHONPATH") if name in os.environ}
    served = StdioServerParameters(command="gql-app", args=["mcp", "--url", options.url], env=kept)
    async with Client(served) as client:
        return await run(client, options.file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
