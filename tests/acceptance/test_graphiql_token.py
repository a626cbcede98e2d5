"""GraphiQL of a service that asks who comes: the token goes into its editor of headers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from gql_app.settings import Settings
from tests.support.requirements import require_chromium
from tests.support.server import RunningServer, live_server
from tests.support.tokens import add_key, bearer

expect.set_options(timeout=30_000)

CHROMIUM = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.fixture
def token(tmp_path: Path) -> str:
    return add_key(tmp_path / "keys.json")


@pytest.fixture
def server(tmp_path: Path, token: str) -> Iterator[RunningServer]:
    with live_server(Settings(shutdown_grace_seconds=0, keys_file=str(tmp_path / "keys.json"))) as running:
        yield running


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=require_chromium(), args=CHROMIUM)
        yield chromium.new_page(viewport={"width": 1280, "height": 800})
        chromium.close()


def write(page: Page, editor: str, value: object) -> None:
    """Replace what stands in one of the two editors below the query."""
    page.get_by_role("button", name=editor).click()
    page.locator(".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(json.dumps(value))


def test_a_token_in_the_headers_lets_in_queries_and_subscriptions(
    page: Page, server: RunningServer, token: str
) -> None:
    response = page.locator(".result-window")
    page.goto(server.graphql_url)
    page.get_by_role("button", name="Execute query").click()
    expect(response).to_contain_text("UNAUTHENTICATED")

    write(page, "Headers", bearer(token))
    page.get_by_role("button", name="Execute query").click()
    expect(response).to_contain_text("SubmitWorkflowSuccess")
    shown = response.locator(".CodeMirror").evaluate("(element) => element.CodeMirror.getValue()")
    run_id = json.loads(shown)["data"]["submitWorkflow"]["workflow"]["id"]

    page.get_by_role("tab", name="WorkflowUpdates").click()
    write(page, "Headers", {"Authorization": f"Bearer {token}"})
    write(page, "Variables", {"id": run_id, "after": 0})
    page.get_by_role("button", name="Execute query").click()
    expect(response).to_contain_text('"status": "COMPLETED"')
