"""A browser's own `EventSource`, on a page of another origin: it comes back by itself, and misses nothing."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from gql_app.settings import Settings
from tests.support.connections import cut_streams
from tests.support.documents import document, submit
from tests.support.gate import Gate, gated
from tests.support.requirements import REPOSITORY, require_chromium
from tests.support.server import ThreadServer, live_server
from tests.support.static_server import static_server

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# How long a slow machine may take to show what it is going to show.
PATIENCE = 30_000.0
WATCH = """
([url, id]) => {
  window.told = [];
  const query = `subscription ($id: ID!, $after: Int) {
    workflowUpdates(id: $id, after: $after) { events { sequence } }
  }`;
  const variables = JSON.stringify({ id, after: 0 });
  const events = new EventSource(`${url}?` + new URLSearchParams({ query, variables }));
  events.addEventListener("next", ({ data }) => {
    window.told.push(...JSON.parse(data).data.workflowUpdates.events.map(({ sequence }) => sequence));
  });
  events.addEventListener("complete", () => {
    events.close();
    window.ended = true;
  });
}
"""


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def origin() -> Iterator[str]:
    with static_server(REPOSITORY / "examples") as url:
        yield url


@pytest.fixture
def server(origin: str, gate: Gate) -> Iterator[ThreadServer]:
    settings = Settings(allowed_origins=(origin,), shutdown_grace_seconds=0, stop_grace_seconds=0)
    with live_server(settings, tools=[gate.tool]) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=require_chromium(), args=CHROMIUM)
        yield chromium
        chromium.close()


def test_it_goes_on_after_a_lost_connection(server: ThreadServer, browser: Browser, gate: Gate, origin: str) -> None:
    run_id = submit(server, document(gated()))
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{origin}/sample_workflow.json")
    page.evaluate(WATCH, [server.graphql_url, run_id])
    page.wait_for_function("window.told.length > 0")

    cut = cut_streams(server)
    gate.open()
    page.wait_for_function("window.ended")

    assert cut == 1
    assert page.evaluate("window.told") == [1, 2, 3, 4, 5]
