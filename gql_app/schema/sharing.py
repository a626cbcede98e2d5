"""Answers that several subscribers wait for: made once, and told to all of them."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from gql_app.schema.operation import Answer

MAXIMUM_ANSWERS: Final = 256
MAXIMUM_BYTES: Final = 32 << 20


class _Making:
    """An answer that is being made, and how many wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Answer]) -> None:
        self.task = task
        self.waiting = 0


class SharedAnswers:
    """Keeps answers for as long as there is room, the least recently used is forgotten first.

    A key is the identity of an update together with what is made of it. Every answer is kept with its update, so
    that no other can have the same identity meanwhile.
    """

    def __init__(self, *, maximum_answers: int = MAXIMUM_ANSWERS, maximum_bytes: int = MAXIMUM_BYTES) -> None:
        self._maximum_answers = maximum_answers
        self._maximum_bytes = maximum_bytes
        self._answers: OrderedDict[Hashable, tuple[object, Answer]] = OrderedDict()
        self._bytes = 0
        self._making: dict[Hashable, _Making] = {}

    def find(self, key: Hashable) -> Answer | None:
        """Find an answer that was made before."""
        found = self._answers.get(key)
        if found is None:
            return None
        self._answers.move_to_end(key)
        return found[1]

    def keep(self, key: Hashable, update: object, answer: Answer) -> Answer:
        """Keep an answer."""
        if key not in self._answers:
            self._answers[key] = (update, answer)
            self._bytes += len(answer.body)
            while len(self._answers) > self._maximum_answers or self._bytes > self._maximum_bytes:
                _, (_, forgotten) = self._answers.popitem(last=False)
                self._bytes -= len(forgotten.body)
        return answer

    def is_making(self, key: Hashable) -> bool:
        """Whether somebody has begun to make an answer."""
        return key in self._making

    async def make(self, key: Hashable, update: object, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make an answer that nobody has begun to make, for all who join meanwhile."""
        self._making[key] = _Making(asyncio.ensure_future(self._make(key, update, make)))
        return await self.join(key)

    async def join(self, key: Hashable) -> Answer:
        """Wait for an answer that is being made. It is given up when nobody waits any more."""
        making = self._making[key]
        making.waiting += 1
        try:
            return await asyncio.shield(making.task)
        finally:
            making.waiting -= 1
            if not making.waiting and not making.task.done():
                del self._making[key]
                making.task.cancel()

    async def _make(self, key: Hashable, update: object, make: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return self.keep(key, update, await make())
        finally:
            making = self._making.get(key)
            if making is not None and making.task is asyncio.current_task():
                del self._making[key]
