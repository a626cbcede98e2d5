"""GraphiQL in a real browser that can reach nothing but the server itself."""

import asyncio
import json
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
import strawberry
import uvicorn
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from gql_app.web.graphiql import STATIC_DIRECTORY, Tab, content_security_policy, graphiql_page
from tests.support.requirements import require_chromium

GREETING = Tab(
    query="query ReadGreeting($name: String!) {\n  greeting(name: $name)\n}\n",
    variables='{\n  "name": "</script><script>alert(1)</script>"\n}',
)
MESSAGES = Tab(query="subscription WatchMessages {\n  messages\n}\n")
TABS = [GREETING, MESSAGES]

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
]


@strawberry.type
class Query:
    @strawberry.field
    def greeting(self, name: str) -> str:
        return f"Hello, {name}!"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def post(self, info: strawberry.Info, text: str) -> int:
        """Send a text to all who watch, and say how many they are."""
        watchers: dict[WebSocket, asyncio.Queue[str]] = info.context["request"].app.state.watchers
        for queue in watchers.values():
            queue.put_nowait(text)
        return len(watchers)

    @strawberry.mutation
    async def disconnect(self, info: strawberry.Info) -> bool:
        """Close the connections of all who watch, as a server that restarts does."""
        for websocket in list(info.context["request"].app.state.watchers):
            await websocket.close(1012)
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def messages(self, info: strawberry.Info) -> AsyncIterator[str]:
        websocket: WebSocket = info.context["request"]
        queue: asyncio.Queue[str] = asyncio.Queue()
        websocket.app.state.watchers[websocket] = queue
        try:
            yield "watching"
            while True:
                yield await queue.get()
        finally:
            del websocket.app.state.watchers[websocket]


def small_app() -> Starlette:
    """An API of one query, one subscription and what the tests need to drive it, with the page in front of it."""
    graphql: GraphQL[object, None] = GraphQL(
        strawberry.Schema(Query, Mutation, Subscription),
        graphql_ide=None,
        subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
    )

    async def page(request: Request) -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        policy = content_security_policy(nonce=nonce, host=request.headers["host"])
        html = graphiql_page(endpoint="/graphql", static_url="/static", nonce=nonce, tabs=TABS)
        return HTMLResponse(html, headers={"content-security-policy": policy})

    app = Starlette(
        routes=[
            Route("/", page),
            Mount("/static", StaticFiles(directory=STATIC_DIRECTORY)),
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
        ]
    )
    app.state.watchers = {}
    return app


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve `app` on a free port, in a thread, and give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@dataclass
class Visit:
    """A page and everything about it that a user should never meet."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def press_run(self) -> None:
        self.page.get_by_role("button", name="Execute query").click()

    def open_tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    @property
    def response(self) -> Locator:
        return self.page.locator(".result-window")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=require_chromium(), args=QUIET_CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with serving(small_app()) as url:
        yield url


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext, server_url: str) -> Iterator[Visit]:
    """A first visit to the page. When the test is over, nothing may have gone wrong in the browser."""
    visit = Visit(page=context.new_page(), url=server_url)
    watch(visit)
    with visit.page.expect_response(f"{server_url}/graphql"):
        visit.page.goto(server_url)
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


def post_mutation(url: str, query: str) -> object:
    return httpx.post(f"{url}/graphql", json={"query": query}).raise_for_status().json()["data"]


def test_the_first_visit_shows_the_given_operations_as_tabs(visit: Visit) -> None:
    expect(visit.page).to_have_title("gql_app · GraphiQL")
    expect(visit.page.get_by_role("tab")).to_contain_text(["ReadGreeting", "WatchMessages"])
    expect(visit.page.get_by_role("tab", selected=True)).to_contain_text("ReadGreeting")
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("greeting(name: $name)")


def test_a_query_runs_with_the_variables_of_its_tab(visit: Visit) -> None:
    expect(visit.page.locator(".graphiql-editor-tool")).to_contain_text('"name"')

    visit.press_run()

    expect(visit.response).to_contain_text("Hello, </script><script>alert(1)</script>!")


def test_the_documentation_shows_the_schema(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    visit.page.get_by_role("link", name="Query", exact=True).click()

    expect(visit.page.locator(".graphiql-doc-explorer")).to_contain_text("greeting(name: String!)")


def test_fields_of_the_schema_are_offered_while_typing(visit: Visit) -> None:
    visit.page.get_by_role("button", name="New tab").click()

    visit.page.locator(".graphiql-query-editor .CodeMirror").click()
    visit.page.keyboard.type("{ gree")

    expect(visit.page.locator(".CodeMirror-hints")).to_contain_text("greeting")


def test_a_subscription_shows_each_update_until_it_is_stopped(visit: Visit) -> None:
    visit.open_tab("WatchMessages")
    visit.press_run()
    expect(visit.response).to_contain_text('"messages": "watching"')

    for text in ("first", "second"):
        assert post_mutation(visit.url, f'mutation {{ post(text: "{text}") }}') == {"post": 1}
        expect(visit.response).to_contain_text(f'"messages": "{text}"')

    visit.page.get_by_role("button", name="Stop query").click()
    expect(visit.page.get_by_role("button", name="Execute query")).to_be_visible()


def test_a_subscription_goes_on_after_the_connection_was_lost(visit: Visit) -> None:
    visit.open_tab("WatchMessages")
    visit.press_run()
    expect(visit.response).to_contain_text('"messages": "watching"')
    post_mutation(visit.url, 'mutation { post(text: "before") }')
    expect(visit.response).to_contain_text('"messages": "before"')

    post_mutation(visit.url, "mutation { disconnect }")

    expect(visit.response).to_contain_text('"messages": "watching"')
    assert post_mutation(visit.url, 'mutation { post(text: "after") }') == {"post": 1}
    expect(visit.response).to_contain_text('"messages": "after"')


def test_the_users_own_tabs_are_there_on_the_next_visit(visit: Visit) -> None:
    visit.page.get_by_role("button", name="New tab").click()
    visit.page.locator(".graphiql-query-editor .CodeMirror").click()
    with visit.page.expect_console_message(lambda message: is_stored_tab(message.text, "query Mine { __typename")):
        visit.page.keyboard.type("query Mine { __typename")

    visit.page.reload()

    expect(visit.page.get_by_role("tab")).to_contain_text(["ReadGreeting", "WatchMessages", "Mine"])
    expect(visit.page.locator(".graphiql-query-editor")).to_contain_text("query Mine")


def test_another_graphiql_at_the_same_address_does_not_take_the_place_of_our_tabs(
    context: BrowserContext, server_url: str
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

    page.goto(server_url)

    expect(page.get_by_role("tab")).to_contain_text(["ReadGreeting", "WatchMessages"])


def test_a_browser_that_keeps_nothing_shows_the_page_too(context: BrowserContext, server_url: str) -> None:
    page = context.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })"
    )

    page.goto(server_url)

    expect(page.locator(".graphiql-editor-tool")).to_contain_text('"name"')


def test_a_script_that_does_not_load_is_named(context: BrowserContext, server_url: str) -> None:
    page = context.new_page()
    page.route("**/react.production.min.js", lambda route: route.abort())

    page.goto(server_url)

    expect(page.locator("#graphiql")).to_contain_text("GraphiQL cannot start: React")


def test_dialogs_and_menus_open_under_the_policy(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Open settings dialog").click()
    expect(visit.page.get_by_role("dialog")).to_contain_text("Theme")
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("button", name="Show History").click()

    expect(visit.page.locator(".graphiql-history")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_colours_of_the_system(browser: Browser, server_url: str, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()

    page.goto(server_url)

    background = page.locator(".graphiql-container").evaluate("(element) => getComputedStyle(element).backgroundColor")
    context.close()
    lightness = sum(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(","))
    assert (lightness < 384) == (scheme == "dark"), background
