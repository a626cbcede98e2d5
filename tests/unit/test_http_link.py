"""Reading the header `Link`."""

import time

import httpx
import pytest

from gql_app.tools.http_pages import find_link


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://a/b?c=1,2>; rel="next", <x>; rel=last', "https://a/b?c=1,2"),
        ('</p>; rel=prev; title="; rel=next, <q>; rel=next", </y> ; Rel = "first NEXT"; title="a, <b>"', "/y"),
        ('<z>; rel=next; anchor="#a", <w>; rel=next', "w"),
        ("<one>; rel=next, <two>; rel=next", "one"),
        ("<x>; rel=prev; rel=next", None),
        ('<q>; foo; title="say \\"hi\\""; rel="next"; bar=', "q"),
        (" , ,<q>;rel=next,", "q"),
        ("<q>; rel=nextish", None),
        ("<q>", None),
        ("no link, <q>; rel=next", None),
        ("<q; rel=next", None),
        ("", None),
    ],
)
def test_the_link_with_the_relation_is_found(header: str, target: str | None) -> None:
    assert find_link(httpx.Response(200, headers={"link": header}), "next") == target


def test_several_headers_are_one() -> None:
    response = httpx.Response(200, headers=[("link", "<a>; rel=prev"), ("link", "<b>; rel=next")])

    assert find_link(response, "next") == "b"
    assert find_link(response, "prev") == "a"
    assert find_link(httpx.Response(200), "next") is None


@pytest.mark.parametrize(
    "header",
    [
        "<a>" + "; x  " * 20_000 + "!",
        "<a>; x=" + "  " * 20_000,
        '<a>; x="' + '\\"' * 20_000,
        "<" * 40_000,
        ", " * 20_000,
    ],
    ids=["names", "spaces", "quotes", "brackets", "commas"],
)
def test_a_hostile_header_costs_no_more_than_its_length(header: str) -> None:
    response = httpx.Response(200, headers={"link": header})
    before = time.process_time()

    assert find_link(response, "next") is None
    # What takes exponential or quadratic time takes minutes.
    assert time.process_time() - before < 5
