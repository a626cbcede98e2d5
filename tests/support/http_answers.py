"""A server that answers with the bytes that a test has written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """Write an answer; `content_type="…"` is the header `content-type`."""
    lines = [f"HTTP/1.1 {status} Status", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Server:
    """Answers each path, with or without its query, with the bytes written for it, and keeps what it was asked."""

    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    silenced: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked.append((first.removesuffix(" HTTP/1.1"), headers, body))
                target = first.split()[1]
                path = target.partition("?")[0]
                if path == "/silent":
                    self.silenced.set()
                    await self.closing.wait()
                    return
                told = self.answers.get(target) or self.answers.get(path)
                writer.write(told or b"")
                await writer.drain()
                if told is None or path.startswith("/cut"):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(**answers: bytes) -> AsyncIterator[Server]:
    server = Server({f"/{name}": data for name, data in answers.items()})
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        server.closing.set()
