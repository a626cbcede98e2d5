"""The TypeScript example, type-checked and built from nothing, in a real browser against a real server."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from gql_app.settings import Settings
from gql_app.web.auth.key_writer import change_keys
from tests.support.browser import PATIENCE, expect_text, open_browser, open_page
from tests.support.connections import close_websockets, cut_websockets
from tests.support.documents import SUBMIT, document, submit
from tests.support.gate import Gate, gated
from tests.support.requirements import REPOSITORY, require_node_package, require_npm
from tests.support.server import ThreadServer, live_server
from tests.support.static_server import static_server
from tests.support.streaming_tools import streaming
from tests.support.tokens import add_key, bearer

PACKAGES = [
    "@graphql-codegen/cli",
    "@graphql-codegen/client-preset",
    "@urql/core",
    "esbuild",
    "graphql-ws",
    "typescript",
]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the types from the schema, check them strictly, bundle, and serve: in a copy, as it is in a fresh clone."""
    npm = require_npm()
    for package in PACKAGES:
        require_node_package(package)
    clone = tmp_path_factory.mktemp("clone")
    for part in ("schema", "examples"):
        shutil.copytree(REPOSITORY / part, clone / part, ignore=shutil.ignore_patterns("dist", "gql"))
    shutil.copy(REPOSITORY / "package.json", clone)
    (clone / "node_modules").symlink_to(REPOSITORY / "node_modules")
    command = [str(npm), "run", "--silent", "example:build"]
    build = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    with static_server(clone / "examples") as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


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
    with open_page(browser, width=1180, height=640) as opened:
        yield opened


def visit(page: Page, origin: str, server: ThreadServer, run_id: str = "") -> None:
    page.goto(f"{origin}/typescript/?{urlencode({'service': server.url})}#{run_id}")


def test_the_sample_is_submitted_and_shown_live_to_its_end(page: Page, origin: str, server: ThreadServer) -> None:
    visit(page, origin, server)
    expect_text(page.locator("#list"), "There are no runs yet.")

    page.get_by_role("button", name="Submit the sample").click()

    expect_text(page.locator("#run"), "Ended.", "after event 9", "The past and the future of GraphQL, in one report.")
    for node in ("past", "future", "report"):
        expect_text(page.locator(f"[data-node={node}]"), "COMPLETED", "1 of 3")
    expect_text(page.locator("#list li"), "sample", "COMPLETED", "3 of 3")
    assert page.locator("#run progress").evaluate("(bar) => bar.value") == 1


@pytest.mark.parametrize("interrupt", [cut_websockets, close_websockets], ids=["cut", "closed for a restart"])
def test_a_run_goes_on_where_it_was_when_the_connection_is_lost(
    page: Page, origin: str, server: ThreadServer, gate: Gate, interrupt: Callable[[ThreadServer], int]
) -> None:
    run_id = submit(server, document(gated("first"), gated("second", dependsOn=["first"])))
    visit(page, origin, server, run_id)
    expect_text(page.locator("[data-node=first]"), "RUNNING")
    expect_text(page.locator("[data-node=second]"), "PENDING", "waits for first")
    expect_text(page.locator("#run"), "Live.", "after event 3")

    assert interrupt(server) == 1
    expect_text(page.locator("#run"), "The connection was lost")
    gate.open()

    expect_text(page.locator("#run"), "Ended.", "after event 7")
    for node in ("first", "second"):
        expect_text(page.locator(f"[data-node={node}]"), "COMPLETED")


def test_runs_are_listed_a_page_at_a_time_and_read_again(page: Page, origin: str, server: ThreadServer) -> None:
    for number in range(12):
        submit(server, document(name=f"run-{number}"))
    rows = page.locator("#list li")
    visit(page, origin, server)
    expect(rows).to_have_count(10, timeout=PATIENCE)

    page.get_by_role("button", name="Show older runs").click()
    expect(rows).to_have_count(12, timeout=PATIENCE)
    expect_text(rows.last, "run-0")
    expect(page.get_by_role("button", name="Show older runs")).to_be_hidden()

    submit(server, document(name="new"))
    page.get_by_role("button", name="Reload").click()
    expect_text(rows.first, "new")
    expect(rows).to_have_count(10, timeout=PATIENCE)


def test_a_run_is_chosen_by_keyboard_and_says_why_it_failed(page: Page, origin: str, server: ThreadServer) -> None:
    submit(server, document({"id": "a", "tool": "fail", "input": {"retryable": False, "message": "<b>no</b>"}}))
    visit(page, origin, server)
    expect_text(page.locator("#run"), "Choose a run")

    page.locator("#list li a").focus()
    page.keyboard.press("Enter")

    expect_text(page.locator("[data-node=a]"), "FAILED", "DeliberateFailure: <b>no</b>")
    expect(page.locator("#list li a[aria-current]")).to_have_count(1, timeout=PATIENCE)


def test_a_run_that_is_not_there_is_told(page: Page, origin: str, server: ThreadServer) -> None:
    visit(page, origin, server, "nope")

    expect_text(page.locator("#run"), "There is no such run.")


def test_a_token_is_taken_and_its_end_is_told(browser: Browser, origin: str, gate: Gate, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    token = add_key(keys)
    settings = Settings(allowed_origins=(origin,), shutdown_grace_seconds=0, keys_file=str(keys))
    with (
        live_server(settings, tools=[gate.tool]) as server,
        open_page(browser, width=1180, height=640, expecting="status of 401") as page,
    ):
        with server.client(headers=bearer(token)) as client:
            answer = client.post("/graphql", json={"query": SUBMIT, "variables": {"spec": document(gated())}})
        visit(page, origin, server, answer.json()["data"]["submitWorkflow"]["workflow"]["id"])
        expect_text(page.locator("#list"), "Enter a token above.")

        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Connect").click()
        expect_text(page.locator("#run"), "Live.")
        change_keys(keys, lambda _: [])

        expect_text(page.locator("#run"), "The service closed the connection.", "The API key has been revoked.")


def test_text_is_shown_while_it_streams(page: Page, origin: str, server: ThreadServer, gate: Gate) -> None:
    run_id = submit(server, document({"id": "a", "tool": "speak.at.gate", "retry": {"initialIntervalSeconds": 0.01}}))
    visit(page, origin, server, run_id)

    expect_text(page.locator("[data-text=a]"), "right so far")
    expect_text(page.locator("[data-node=a]"), "RUNNING", "50 % half way")

    gate.open()
    expect_text(page.locator("[data-node=a]"), "COMPLETED")
    expect(page.locator("[data-text=a]")).to_be_hidden()
