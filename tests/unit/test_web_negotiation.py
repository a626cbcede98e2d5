"""Which form of an answer a client gets for the header Accept it sends."""

import pytest

from gql_app.web.content import is_json
from gql_app.web.negotiation import Form, negotiate

RESPONSE, JSON, EVENTS, PARTS = Form
APOLLO = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0, application/json'
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", RESPONSE),
        ("Application/GraphQL-Response+JSON", RESPONSE),
        ("application/graphql-response+json; charset=utf-8", RESPONSE),
        ("application/json, application/graphql-response+json", RESPONSE),
        ("application/json, application/graphql-response+json;q=0.9", JSON),
        ("application/graphql-response+json, application/json;q=0.9", RESPONSE),
        ("application/json, text/plain, */*", JSON),
        ("application/graphql-response+json, */*", RESPONSE),
        ("application/json;q=0, */*", RESPONSE),
        ("application/json;q=0.1, */*", RESPONSE),
        ("text/html, application/json;q=0.5", JSON),
        (URQL, RESPONSE),
        (APOLLO, JSON),
        ('text/plain;note="a, application/graphql-response+json", application/json', JSON),
        ("x" * 100_000, JSON),
        ("", None),
        ("text/plain", None),
        ("text/*", None),
        ("text/event-stream", None),
        ("application/json;q=0", None),
        ("application/json;q=2", None),
        ("application/json;charset=utf-16", None),
        ('application/json;note="', None),
        ("application", None),
        (";;;,,,", None),
    ],
)
def test_one_result_is_sent_as_the_client_likes_it_best(accept: str | None, form: Form | None) -> None:
    assert negotiate(accept).single is form


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, None),
        ("*/*", None),
        ("text/*", None),
        ("application/json", None),
        ("text/event-stream", EVENTS),
        ("text/event-stream;q=0", None),
        ("text/event-stream, multipart/mixed", EVENTS),
        ("text/event-stream;q=0.5, multipart/mixed", PARTS),
        ("multipart/mixed", PARTS),
        ("multipart/mixed;subscriptionSpec=1.0", PARTS),
        ("multipart/mixed;subscriptionSpec=2.0", None),
        ("multipart/mixed;deferSpec=20220824", None),
        ("multipart/mixed;deferSpec=20220824, multipart/mixed;subscriptionSpec=1.0", PARTS),
        (APOLLO, PARTS),
        (URQL, EVENTS),
    ],
)
def test_a_stream_is_sent_only_to_who_names_it(accept: str | None, form: Form | None) -> None:
    assert negotiate(accept).stream is form


@pytest.mark.parametrize(
    ("accept", "page"),
    [(BROWSER, True), ("text/html", True), ("*/*", False), (None, False), ("application/json, text/html;q=0.1", False)],
)
def test_a_page_is_for_who_would_rather_have_one(accept: str | None, page: bool) -> None:
    assert negotiate(accept).page is page


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("application/json;charset=utf-8", True),
        ('Application/JSON; Charset="UTF-8"', True),
        ("application/json;", True),
        (None, False),
        ("", False),
        ("json", False),
        ("application/json; charset=utf-16", False),
        ("application/json, text/plain", False),
        ("application/json, application/json", False),
        ("application/json-seq", False),
        ("application/jsonp", False),
        ("text/plain; a=application/json", False),
        ("application/json; charset", False),
        ("application/json" + ";" * 100_000, False),
    ],
)
def test_json_is_only_what_says_so(content_type: str | None, json: bool) -> None:
    assert is_json(content_type) is json
