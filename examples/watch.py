"""Watch a run from Python, without a gap across lost connections. Needs only the package `websockets`.

    python examples/watch.py RUN_ID [--url http://127.0.0.1:8000] [--after SEQUENCE]

Ends with 0 if the run completed and 1 if it did not, or if there is no way to tell.
"""

import argparse
import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

# The operation is published with the schema. Your own program may select other fields; `sequence` is what it needs to
# come back.
OPERATION = Path(__file__).parent.parent / "schema" / "operations" / "WorkflowUpdates.graphql"
PROTOCOL = Subprotocol("graphql-transport-ws")
FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0
MAXIMUM_FAILURES = 10

# The members of a JSON object can be anything.
Message = dict[str, Any]


class RefusedError(Exception):
    """The service says no, and would say it again."""


async def watch(url: str, run_id: str, after: int) -> AsyncGenerator[Message, None]:
    """Give every update after the event `after`, once and in order, until the run has ended."""
    failures = 0
    while True:
        try:
            async with aclosing(subscribe(url, {"id": run_id, "after": after})) as updates:
                async for update in updates:
                    # From here the next connection goes on: nothing is missed, and nothing told twice.
                    after = update["sequence"]
                    failures = 0
                    yield update
            return
        except (OSError, WebSocketException) as error:
            failures += 1
            if failures > MAXIMUM_FAILURES or not may_pass(error):
                raise RefusedError(f"Cannot reach {url}: {error}") from None
            # Spread over time, so that all clients of a server that restarts do not come back at once.
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failures - 1)) * random.uniform(0.5, 1)
            print(f"Not connected ({error}); again in {delay:.1f} s, after {after}.", file=sys.stderr, flush=True)
            await asyncio.sleep(delay)


async def subscribe(url: str, variables: Message) -> AsyncGenerator[Message, None]:
    """Run the subscription over one connection, to its end."""
    address = url.replace("http", "ws", 1).rstrip("/") + "/graphql"
    async with connect(address, subprotocols=[PROTOCOL], proxy=None) as socket:
        await send(socket, type="connection_init")
        payload = {"query": OPERATION.read_text(encoding="utf-8"), "variables": variables}
        while True:
            message = json.loads(await socket.recv())
            match message["type"]:
                case "connection_ack":
                    await send(socket, id="1", type="subscribe", payload=payload)
                case "next":
                    check(message["payload"].get("errors"))
                    yield message["payload"]["data"]["workflowUpdates"]
                case "error":
                    check(message["payload"])
                case "ping":
                    await send(socket, type="pong")
                case "complete":
                    return
                case _:
                    pass  # A pong: we never ask.


async def send(socket: ClientConnection, **message: Any) -> None:
    """Send one message."""
    await socket.send(json.dumps(message))


def check(errors: list[Message] | None) -> None:
    """Raise the first of the errors, if there are any."""
    if not errors:
        return
    message = errors[0]["message"]
    if errors[0].get("extensions", {}).get("code") == "OVERLOADED":
        raise ConnectionError(message)
    raise RefusedError(message)


def may_pass(error: Exception) -> bool:
    """Tell a server that is away or busy from one that does not want us."""
    return not isinstance(error, InvalidStatus) or error.response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR


def line(event: Message) -> str:
    """Write an event as a line: its sequence, what happened, to what, and the text that was streamed.

    With an attempt, or the try of a step, that failed, a program that shows the text drops what that one streamed.
    """
    subject = [event.get("nodeId"), f"attempt {event['attempt']}" if "attempt" in event else None]
    error = event.get("error")
    told = f"{error['type']}: {error['message']}" if error else repr(event["text"]) if "text" in event else ""
    words = [event["__typename"], *filter(None, subject), told]
    return f"{event['sequence']:>4}  {' '.join(words).rstrip()}"


async def main() -> int:
    """Print what happens in a run, to its end."""
    parser = argparse.ArgumentParser(description="Watch a run until it has ended.")
    parser.add_argument("run_id", metavar="RUN_ID")
    url = os.environ.get("GQL_APP_URL", "http://127.0.0.1:8000")
    parser.add_argument("--url", default=url, help="where the service is (now %(default)s)")
    parser.add_argument("--after", type=int, default=0, help="tell only what happened after this event")
    options = parser.parse_args()
    status = "Nothing happened after that."
    try:
        async with aclosing(watch(options.url, options.run_id, options.after)) as updates:
            async for update in updates:
                for event in update["events"]:
                    print(line(event), flush=True)
                status = update["workflow"]["status"]
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    print(status)
    return 0 if status == "COMPLETED" else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
