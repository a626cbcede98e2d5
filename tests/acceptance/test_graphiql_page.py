"""GraphiQL in a real browser that can reach nothing but the server itself."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from gql_app.core.values import Json
from gql_app.settings import Settings
from tests.support.connections import close_websockets
from tests.support.documents import document, submit
from tests.support.gate import Gate, gated
from tests.support.requirements import require_chromium
from tests.support.server import ThreadServer, live_server

TABS = ["SubmitWorkflow", "GetWorkflow", "ListWorkflows", "WorkflowUpdates"]

# What is kept in the browser is kept half a second late.
SAY_WHAT_IS_STORED = """
const setItem = Storage.prototype.setItem;
Storage.prototype.setItem = function (name, value) {
  setItem.call(this, name, value);
  console.debug(`stored ${name} ${value}`);
};
"""

# How long a slow machine may take to show what it is going to show.
expect.set_options(timeout=30_000)

QUIET_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@dataclass
class Visit:
    """A page and everything about it that a user should never meet."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    websockets: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def press_run(self) -> None:
        self.page.get_by_role("button", name="Execute query").click()

    def open_tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def write_variables(self, variables: Json) -> None:
        """Replace what the variables of the open tab are."""
        self.page.locator(".graphiql-editor-tool .CodeMirror").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(json.dumps(variables))

    def expect_end(self) -> None:
        """Wait until nothing is carried out any more."""
        expect(self.page.get_by_role("button", name="Execute query")).to_be_visible()

    @property
    def response(self) -> Locator:
        return self.page.locator(".result-window")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=require_chromium(), args=QUIET_CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    with Gate() as gate:
        yield gate


@pytest.fixture
def server(gate: Gate) -> Iterator[ThreadServer]:
    with live_server(Settings(shutdown_grace_seconds=0), tools=[gate.tool]) as running:
        yield running
        gate.open()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, server: ThreadServer) -> Iterator[Visit]:
    """A first visit to the page. When the test is over, nothing may have gone wrong in the browser."""
    visit = Visit(page=context.new_page(), url=server.graphql_url)
    watch(visit)
    with visit.page.expect_response(lambda response: response.request.method == "POST"):
        visit.page.goto(visit.url)
    expect(visit.page.locator(".graphiql-query-editor .CodeMirror")).to_be_visible()
    yield visit
    assert visit.elsewhere == []
    assert visit.complaints == []
    assert visit.page.evaluate("window.policyViolations") == []


def watch(visit: Visit) -> None:
    """Keep the page from every other host, and note whatever it complains about."""
    host = urlsplit(visit.url).netloc
    visit.page.route(lambda url: urlsplit(url).netloc != host, lambda route: route.abort())
    visit.page.on("console", visit.heard)
    visit.page.on("pageerror", lambda error: visit.complaints.append(f"uncaught: {error}"))
    visit.page.on("request", lambda request: note_host(visit, request.url, host))
    visit.page.on("websocket", lambda websocket: note_host(visit, websocket.url, host))
    visit.page.on("websocket", lambda websocket: visit.websockets.append(websocket.url))
    visit.page.add_init_script(SAY_WHAT_IS_STORED)
    visit.page.add_init_script(
        "window.policyViolations = [];"
        "addEventListener('securitypolicyviolation',"
        " (event) => window.policyViolations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));"
    )


def note_host(visit: Visit, url: str, host: str) -> None:
    if not url.startswith("data:") and urlsplit(url).netloc != host:
        visit.elsewhere.append(url)


def is_stored_tab(text: str, query: str) -> bool:
    return text.startswith("stored gql_app:") and query in text


def submitted_id(visit: Visit) -> str:
    """Read the id of the run that the response shows, as who copies it does."""
    expect(visit.response).to_contain_text('"status"')
    shown = visit.response.locator(".CodeMirror").evaluate("(element) => element.CodeMirror.getValue()")
    run_id: str = json.loads(shown)["data"]["submitWorkflow"]["workflow"]["id"]
    return run_id


def test_the_first_visit_shows_the_published_operations_as_tabs(visit: Visit) -> None:
    expect(visit.page).to_have_title("gql_app · GraphiQL")
    expect(visit.page.get_by_role("tab")).to_contain_text(TABS)
    expect(visit.page.get_by_role("tab", selected=True)).to_contain_text("SubmitWorkflow")
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("submitWorkflow(spec: $spec")
    expect(visit.page.locator(".graphiql-editor-tool")).to_contain_text('"name": "sample"')


def test_the_sample_is_submitted_read_listed_and_watched_to_its_end(visit: Visit) -> None:
    visit.press_run()
    run_id = submitted_id(visit)

    visit.open_tab("GetWorkflow")
    visit.write_variables({"id": run_id})
    visit.press_run()
    expect(visit.response).to_contain_text(f'"id": "{run_id}"')
    expect(visit.response).to_contain_text('"total": 3')

    visit.open_tab("ListWorkflows")
    visit.press_run()
    expect(visit.response).to_contain_text(f'"id": "{run_id}"')

    visit.open_tab("WorkflowUpdates")
    visit.write_variables({"id": run_id, "after": 0})
    visit.press_run()
    expect(visit.response).to_contain_text('"sequence": 9')
    visit.expect_end()


def test_updates_are_shown_as_they_happen_also_after_the_server_closed_the_connection(
    visit: Visit, server: ThreadServer, gate: Gate
) -> None:
    run_id = submit(server, document(gated("first"), gated("second", dependsOn=["first"])))
    visit.open_tab("WorkflowUpdates")
    visit.write_variables({"id": run_id})
    visit.press_run()
    expect(visit.response).to_contain_text('"status": "RUNNING"')

    with visit.page.expect_websocket():
        assert close_websockets(server) == 1
    gate.open()

    expect(visit.response).to_contain_text('"sequence": 7')
    visit.expect_end()
    assert len(visit.websockets) == 2


def test_a_subscription_that_is_stopped_leaves_nothing_behind(visit: Visit, server: ThreadServer) -> None:
    run_id = submit(server, document(gated()))
    visit.open_tab("WorkflowUpdates")
    visit.write_variables({"id": run_id})
    visit.press_run()
    expect(visit.response).to_contain_text('"status": "RUNNING"')

    visit.page.get_by_role("button", name="Stop query").click()

    visit.expect_end()
    server.wait_until_idle()


def test_the_documentation_opens_a_type(visit: Visit) -> None:
    documentation = visit.page.locator(".graphiql-doc-explorer")

    visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    for name in ("Query", "WorkflowRun", "NodeRun"):
        documentation.get_by_role("link", name=name, exact=True).first.click()

    expect(documentation).to_contain_text("waitingOn")


def test_fields_of_the_schema_are_offered_while_typing(visit: Visit) -> None:
    visit.page.get_by_role("button", name="New tab").click()

    visit.page.locator(".graphiql-query-editor .CodeMirror").click()
    visit.page.keyboard.type("{ workf")

    expect(visit.page.locator(".CodeMirror-hints")).to_contain_text("workflows")


def test_the_users_own_tabs_are_there_on_the_next_visit(visit: Visit) -> None:
    visit.page.get_by_role("button", name="New tab").click()
    visit.page.locator(".graphiql-query-editor .CodeMirror").click()
    with visit.page.expect_console_message(lambda message: is_stored_tab(message.text, "query Mine { __typename")):
        visit.page.keyboard.type("query Mine { __typename")

    visit.page.reload()

    expect(visit.page.get_by_role("tab")).to_contain_text([*TABS, "Mine"])
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("query Mine")


def test_another_graphiql_at_the_same_address_does_not_take_the_place_of_our_tabs(
    context: BrowserContext, server: ThreadServer
) -> None:
    theirs = {
        "id": "1",
        "title": "Theirs",
        "query": "{ theirs }",
        "variables": "",
        "headers": "",
        "operationName": None,
    }
    state = json.dumps({"activeTabIndex": 0, "tabs": [theirs | {"response": None}]})
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('graphiql:tabState', {json.dumps(state)})")

    page.goto(server.graphql_url)

    expect(page.get_by_role("tab")).to_contain_text(TABS)


def test_a_browser_that_keeps_nothing_shows_the_page_too(context: BrowserContext, server: ThreadServer) -> None:
    page = context.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })"
    )

    page.goto(server.graphql_url)

    expect(page.locator(".graphiql-editor-tool")).to_contain_text('"name"')


def test_a_script_that_does_not_load_is_named(context: BrowserContext, server: ThreadServer) -> None:
    page = context.new_page()
    page.route("**/react.production.min.js", lambda route: route.abort())

    page.goto(server.graphql_url)

    expect(page.locator("#graphiql")).to_contain_text("GraphiQL cannot start: React")


def test_dialogs_and_menus_open_under_the_policy(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Open settings dialog").click()
    expect(visit.page.get_by_role("dialog")).to_contain_text("Theme")
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("button", name="Show History").click()

    expect(visit.page.locator(".graphiql-history")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_colours_of_the_system(browser: Browser, server: ThreadServer, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()

    page.goto(server.graphql_url)

    background = page.locator(".graphiql-container").evaluate("(element) => getComputedStyle(element).backgroundColor")
    context.close()
    lightness = sum(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(","))
    assert (lightness < 384) == (scheme == "dark"), background
