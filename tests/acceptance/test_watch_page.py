"""The example page in a real browser: it comes from another origin than the service it watches."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from gql_app.settings import Settings
from tests.support.browser import expect_text, open_browser, open_page
from tests.support.connections import cut_websockets
from tests.support.documents import document, submit
from tests.support.gate import Gate, gated
from tests.support.requirements import REPOSITORY
from tests.support.server import ThreadServer, live_server
from tests.support.static_server import static_server
from tests.support.streaming_tools import streaming


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with static_server(REPOSITORY / "examples") as url:
        yield url


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def server(origin: str, gate: Gate) -> Iterator[ThreadServer]:
    with live_server(
        Settings(allowed_origins=(origin,), shutdown_grace_seconds=0), tools=[gate.tool, *streaming(gate)]
    ) as running:
        yield running
        gate.open()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_page(browser, width=1000, height=600) as opened:
        yield opened


def visit(page: Page, origin: str, server: ThreadServer, **parameters: str) -> None:
    page.goto(f"{origin}/watch.html?{urlencode({'service': server.url, **parameters})}")


def test_the_sample_is_submitted_and_watched_to_its_end(page: Page, origin: str, server: ThreadServer) -> None:
    visit(page, origin, server)

    page.get_by_role("button", name="Submit the sample").click()

    expect_text(page.locator("#status"), "COMPLETED")
    expect_text(page.locator("#connection"), "Ended at event")
    for node in ("past", "future", "report"):
        expect_text(page.locator(f"[data-node={node}]"), "COMPLETED", "1 of 3")
    assert page.locator("#progress").evaluate("(bar) => bar.value") == 1


def test_updates_are_shown_as_they_happen_also_after_the_connection_was_cut(
    page: Page, origin: str, server: ThreadServer, gate: Gate
) -> None:
    run_id = submit(server, document(gated("first"), gated("second", dependsOn=["first"])))
    visit(page, origin, server, run=run_id)
    expect_text(page.locator("[data-node=first]"), "RUNNING")
    expect_text(page.locator("[data-node=second]"), "PENDING", "waits for first")

    assert cut_websockets(server) == 1
    expect_text(page.locator("#connection"), "Lost: the connection was closed (1006)", "after event 3")
    gate.open()

    expect_text(page.locator("#connection"), "Ended at event 7")
    expect_text(page.locator("#status"), "COMPLETED")
    for node in ("first", "second"):
        expect_text(page.locator(f"[data-node={node}]"), "COMPLETED")


def test_a_failure_says_why(page: Page, origin: str, server: ThreadServer) -> None:
    run_id = submit(
        server, document({"id": "a", "tool": "fail", "input": {"retryable": False, "message": "<b>no</b>"}})
    )

    visit(page, origin, server, run=run_id)

    expect_text(page.locator("[data-node=a]"), "FAILED", "DeliberateFailure: <b>no</b>")
    expect_text(page.locator("#status"), "FAILED")


def test_a_run_that_is_not_there_is_named(page: Page, origin: str, server: ThreadServer) -> None:
    visit(page, origin, server, run="nope")

    expect_text(page.locator("#connection"), "There is no run nope.")


def test_text_is_shown_while_it_streams_and_no_more_once_what_streamed_it_has_failed(
    page: Page, origin: str, server: ThreadServer, gate: Gate
) -> None:
    run_id = submit(server, document({"id": "a", "tool": "speak.at.gate", "retry": {"initialIntervalSeconds": 0.01}}))
    visit(page, origin, server, run=run_id)

    expect_text(page.locator("[data-text=a]"), "right so far")
    expect_text(page.locator("[data-node=a]"), "RUNNING", "50 % half way")
    assert "wrong" not in page.locator("#nodes").inner_text()

    gate.open()
    expect_text(page.locator("[data-node=a]"), "COMPLETED")
    assert page.locator("[data-text=a]").count() == 0
