"""Tells streams that the server is about to stop, so that they end in time."""

import asyncio


class Closing:
    """Set once, when the server begins to stop. Made outside of any event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether the server has begun to stop."""
        return self._event.is_set()

    def begin(self) -> None:
        """Tell everybody who waits."""
        self._event.set()

    async def wait(self) -> None:
        """Return once the server begins to stop."""
        await self._event.wait()
