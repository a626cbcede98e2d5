"""A server that speaks OpenAI's chat completions, well or badly: as each test says, one behaviour per request."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from gql_app.core.values import Json

USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
Behaviour: TypeAlias = Callable[[Json, asyncio.StreamWriter], Awaitable[None]]


def says(text: str, *, finish: str = "stop") -> Behaviour:
    """Answer with a text, word by word if a stream is wanted."""
    words = [word if number == 0 else f" {word}" for number, word in enumerate(text.split(" "))]
    deltas: list[Json] = [{"content": word} for word in words]
    return _answers(deltas, {"role": "assistant", "content": text}, finish)


def calls_tools(*wanted: tuple[str, str, str]) -> Behaviour:
    """Call tools: id, name, and arguments as they are written, valid or not."""
    whole = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in wanted
    ]
    deltas: list[Json] = [{"tool_calls": [{"index": index, **call}]} for index, call in enumerate(whole)]
    return _answers(deltas, {"role": "assistant", "content": None, "tool_calls": whole}, "tool_calls")


def refuses(status: int, message: str = "No.", **headers: str) -> Behaviour:
    """Answer with an error; `retry_after="2"` is the header `retry-after`."""
    return answers(status, json.dumps({"error": {"message": message}}), "application/json", **headers)


def answers(status: int, body: str, content_type: str, **headers: str) -> Behaviour:
    """Answer with any bytes."""

    async def behave(request: Json, writer: asyncio.StreamWriter) -> None:
        _head(writer, status, content_type, length=len(body.encode()), **headers)
        writer.write(body.encode())

    return behave


def streams_raw(*lines: str) -> Behaviour:
    """Stream lines as they are, and end."""

    async def behave(request: Json, writer: asyncio.StreamWriter) -> None:
        _head(writer, 200, "text/event-stream")
        writer.write("".join(f"data: {line}\n\n" for line in lines).encode())

    return behave


def breaks_off(words: str) -> Behaviour:
    """Stream some words, and then the connection is gone."""

    async def behave(request: Json, writer: asyncio.StreamWriter) -> None:
        _head(writer, 200, "text/event-stream", transfer_encoding="chunked")
        for word in words.split(" "):
            _chunked(writer, _event(_chunk({"content": word + " "})))
        await writer.drain()

    return behave


def stalls(words: str) -> Behaviour:
    """Stream some words, and then nothing, for ever."""

    async def behave(request: Json, writer: asyncio.StreamWriter) -> None:
        _head(writer, 200, "text/event-stream")
        writer.write(_event(_chunk({"content": words})).encode())
        await writer.drain()
        await asyncio.Event().wait()

    return behave


def never_ends(text: str = "and so on " * 100) -> Behaviour:
    """Stream a text again and again."""

    async def behave(request: Json, writer: asyncio.StreamWriter) -> None:
        _head(writer, 200, "text/event-stream")
        while True:
            writer.write(_event(_chunk({"content": text})).encode())
            await writer.drain()

    return behave


def says_as_anthropic(text: str) -> Behaviour:
    """Answer with a text as Anthropic streams it."""
    usage = {"input_tokens": 7, "output_tokens": 1}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-fake",
        "content": [],
        "usage": usage,
    }
    events: list[Json] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in text),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    return streams_events(*events)


def says_as_responses(text: str) -> Behaviour:
    """Answer with a text as OpenAI's other API streams it."""
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    }
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    begun = {"id": "resp_1", "object": "response", "created_at": 1_790_000_000, "model": "gpt-4o", "output": []}
    begun |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "in_progress"}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in text),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**begun, "status": "completed", "output": [item], "usage": usage}},
    ]
    return streams_events(*({**event, "sequence_number": number} for number, event in enumerate(events)))


def streams_events(*events: Json) -> Behaviour:
    """Stream events that have names, as Anthropic does."""

    async def behave(request: Json, writer: asyncio.StreamWriter) -> None:
        _head(writer, 200, "text/event-stream")
        for event in events:
            writer.write(f"event: {event['type']}\n{_event(event)}".encode())

    return behave


@dataclass
class FakeOpenAI:
    """The server: the last behaviour repeats. `asked` holds the bodies of all requests, `headers` their headers."""

    behaviours: list[Behaviour]
    asked: list[Json] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Tell the base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                _, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
                self.headers.append(headers)
                self.asked.append(body)
                await self.behaviours[min(len(self.asked), len(self.behaviours)) - 1](body, writer)
                await writer.drain()
                return  # Every answer ends with its connection.
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.tasks.discard(task)


@asynccontextmanager
async def fake_openai(*behaviours: Behaviour) -> AsyncIterator[FakeOpenAI]:
    """Serve on a free port."""
    server = FakeOpenAI(list(behaviours))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(server.tasks):
            task.cancel()
        await asyncio.gather(*server.tasks)


def _answers(deltas: list[Json], message: Json, finish: str) -> Behaviour:
    async def behave(request: Json, writer: asyncio.StreamWriter) -> None:
        if not request.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            body = json.dumps(
                {**_envelope("chat.completion"), "model": request["model"], "choices": [choice], "usage": USAGE}
            )
            await answers(200, body, "application/json")(request, writer)
            return
        _head(writer, 200, "text/event-stream")
        usage = {**_envelope("chat.completion.chunk"), "choices": [], "usage": USAGE}
        for chunk in (*map(_chunk, deltas), _chunk({}, finish=finish), usage):
            writer.write(_event({**chunk, "model": request["model"]}).encode())
            await writer.drain()
        writer.write(b"data: [DONE]\n\n")

    return behave


def _envelope(kind: str) -> dict[str, Json]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": "fake-1"}


def _chunk(delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish}
    return {**_envelope("chat.completion.chunk"), "choices": [choice]}


def _event(data: Json) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _head(
    writer: asyncio.StreamWriter, status: int, content_type: str, *, length: int | None = None, **headers: str
) -> None:
    lines = [f"HTTP/1.1 {status} Status", f"content-type: {content_type}", "connection: close"]
    lines += [] if length is None else [f"content-length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())


def _chunked(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
