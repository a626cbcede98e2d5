"""What is written into the GraphiQL page and its policy, whatever the values are."""

import json
import re
from html.parser import HTMLParser

import pytest

from gql_app.web.graphiql import STATIC_DIRECTORY, Tab, content_security_policy, graphiql_page

HOSTILE = '</script><script>alert("&amp;")</script><!-- <script>'


class Reader(HTMLParser):
    """Reads a page as a browser does: the attributes of every tag, and the text in every script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read_page(*, endpoint: str = "/graphql", static_url: str = "/static", tab: Tab) -> Reader:
    return Reader(graphiql_page(endpoint=endpoint, static_url=static_url, nonce="n0nce", tabs=[tab]))


def test_nothing_in_an_operation_can_leave_the_script_it_is_written_into() -> None:
    page = read_page(tab=Tab(query=HOSTILE, variables=HOSTILE))

    [written] = page.scripts
    assert json.loads(written)["tabs"] == [{"query": HOSTILE, "variables": HOSTILE}]


def test_nothing_in_an_address_can_leave_the_attribute_it_is_written_into() -> None:
    address = '/a"><script>alert(1)</script>'

    page = read_page(endpoint=address, static_url=address, tab=Tab(query="{ health }"))

    assert len(page.all("script")) == 5
    assert all((script.get("src") or address).startswith(address) for script in page.all("script"))


def test_every_script_carries_the_nonce() -> None:
    page = read_page(tab=Tab(query="{ health }"))

    assert [script["nonce"] for script in page.all("script")] == ["n0nce"] * 5


def test_every_file_that_the_page_loads_is_there() -> None:
    page = read_page(static_url="/static/", tab=Tab(query="{ health }"))

    addresses = [link["href"] for link in page.all("link")] + [
        script["src"] for script in page.all("script") if "src" in script
    ]
    names = [(address or "").removeprefix("/static/") for address in addresses]
    assert len(names) == 7
    assert [name for name in names if not (STATIC_DIRECTORY / name).is_file()] == []


def test_the_assets_name_no_file_that_is_not_there() -> None:
    styles = (STATIC_DIRECTORY / "vendor/graphiql.min.css").read_text(encoding="utf-8")
    scripts = [path.read_text(encoding="utf-8") for path in STATIC_DIRECTORY.rglob("*.js")]

    assert [
        address for address in re.findall(r"url\(\s*[\"']?([^\"')]+)", styles) if not address.startswith("data:")
    ] == []
    assert len(scripts) == 4
    assert [script for script in scripts if "sourceMappingURL=" in script] == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "workflows.example.org:443"])
def test_the_policy_allows_websockets_of_the_same_host(host: str) -> None:
    policy = content_security_policy(nonce="n0nce", host=host)

    assert f"connect-src 'self' ws://{host} wss://{host};" in policy


@pytest.mark.parametrize("host", ["", "a; script-src *", "a b", "*", "a\r\nb", "[::1]:8000"])
def test_a_host_that_a_policy_cannot_name_is_left_out_of_it(host: str) -> None:
    policy = content_security_policy(nonce="n0nce", host=host)

    assert "connect-src 'self';" in policy
    assert policy.count("script-src") == 1
