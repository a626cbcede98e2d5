"""What browsers are given, and what foreign pages in them are not."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest

from gql_app.settings import Settings
from tests.support.requirements import REPOSITORY
from tests.support.server import RunningServer, live_server

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with live_server() as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def test_a_browser_is_shown_graphiql(client: httpx.Client) -> None:
    answer = client.get("/graphql", headers=BROWSER)

    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["content-type"].startswith("text/html")
    assert "GraphiQL" in answer.text


def test_the_page_runs_only_scripts_with_the_nonce_of_its_policy(client: httpx.Client) -> None:
    first, second = (client.get("/graphql", headers=BROWSER) for _ in range(2))

    nonces = [re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"]) for answer in (first, second)]
    assert nonces[0] != nonces[1]
    assert f'nonce="{nonces[0][0]}"' in first.text


def test_everything_the_page_loads_comes_from_here(client: httpx.Client) -> None:
    page = client.get("/graphql", headers=BROWSER).text

    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses
    assert [client.get(address).status_code for address in addresses] == [HTTPStatus.OK] * len(addresses)


def test_the_page_has_the_published_operations_in_its_tabs(client: httpx.Client) -> None:
    page = client.get("/graphql", headers=BROWSER).text

    for word in ("submitWorkflow", "workflow(", "workflows", "workflowUpdates"):
        assert word in page


def test_the_first_tab_submits_the_sample_unchanged(client: httpx.Client) -> None:
    page = client.get("/graphql", headers=BROWSER).text

    found = re.search(r'<script id="graphiql-config"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found
    variables = json.loads(json.loads(found.group(1))["tabs"][0]["variables"])
    assert variables == {"spec": json.loads((REPOSITORY / "examples" / "sample_workflow.json").read_text())}


def test_an_asset_is_not_sent_again_to_who_has_it(client: httpx.Client) -> None:
    first = client.get("/graphql/static/graphiql.js")

    again = client.get("/graphql/static/graphiql.js", headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert again.status_code == HTTPStatus.NOT_MODIFIED


def test_an_asset_outside_the_directory_is_not_found(client: httpx.Client) -> None:
    answer = client.get("/graphql/static/%2e%2e/app.py")

    assert answer.status_code == HTTPStatus.NOT_FOUND


def test_the_root_leads_to_graphiql(client: httpx.Client) -> None:
    answer = client.get("/", headers=BROWSER, follow_redirects=True)

    assert answer.url.path == "/graphql"


def test_a_program_that_asks_nothing_is_told_so(client: httpx.Client) -> None:
    answer = client.get("/graphql")

    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert "query" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_a_name_of_this_machine_is_answered(client: httpx.Client, host: str) -> None:
    answer = client.get("/health", headers={"host": host})

    assert answer.status_code == HTTPStatus.OK


@pytest.mark.parametrize("path", ["/graphql", "/health", "/graphql/static/graphiql.js"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil", "[::2]", "x:y:z", ""]
)
def test_another_name_is_not_answered_on_loopback(client: httpx.Client, path: str, host: str) -> None:
    answer = client.get(path, headers={"host": host})

    assert answer.status_code == HTTPStatus.MISDIRECTED_REQUEST
    assert "localhost" in answer.text


def test_a_page_of_an_allowed_origin_may_read_the_answers() -> None:
    origin = "http://localhost:5173"
    settings = Settings(shutdown_grace_seconds=0, allowed_origins=(origin,))
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    with live_server(settings) as server, server.client() as client:
        ours, theirs = (
            client.options("/graphql", headers={"origin": page, **asked}) for page in (origin, "http://evil.example")
        )

    assert ours.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-origin" not in theirs.headers


def test_a_page_of_another_origin_may_read_nothing(client: httpx.Client) -> None:
    answer = client.get("/health", headers={"origin": "http://evil.example"})

    assert "access-control-allow-origin" not in answer.headers


def test_the_address_that_is_served_is_answered() -> None:
    with live_server(Settings(host="127.0.0.2", shutdown_grace_seconds=0)) as server, server.client() as client:
        answers = [client.get("/health", headers={"host": host}) for host in ("127.0.0.2:1", "evil.example")]

    assert [answer.status_code for answer in answers] == [HTTPStatus.OK, HTTPStatus.MISDIRECTED_REQUEST]


def test_any_name_is_answered_elsewhere() -> None:
    with live_server(Settings(host="0.0.0.0", shutdown_grace_seconds=0)) as server, server.client() as client:
        answer = client.get("/health", headers={"host": "workflows.example"})

    assert answer.status_code == HTTPStatus.OK
