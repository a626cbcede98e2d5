"""A real browser that does nothing of its own, and pages that nobody complains about."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.support.requirements import require_chromium

PATIENCE = 30_000.0
"""How long a slow machine may take to show what it is going to show, in milliseconds."""

_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Run a browser until the end of the block."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=require_chromium(), args=_QUIET)
        yield chromium
        chromium.close()


@contextmanager
def open_page(browser: Browser, *, width: int, height: int, expecting: str | None = None) -> Iterator[Page]:
    """Open an empty page that remembers nothing; fail at the end of the block if the browser complained about it.

    Complaints with the text `expecting` do not count.
    """
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and (expecting is None or expecting not in message.text):
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    yield page
    context.close()
    assert complaints == []


def expect_text(located: Locator, *texts: str) -> None:
    """Wait until an element shows these texts."""
    for text in texts:
        expect(located).to_contain_text(text, timeout=PATIENCE)
