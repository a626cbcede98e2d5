"""What is remembered of operations is bounded."""

from graphql import DocumentNode, parse

from gql_app.schema.cache import Documents

DOCUMENT = parse("{ health { status } }")


def test_a_document_is_found_by_its_text() -> None:
    documents: Documents[DocumentNode] = Documents()

    documents.keep("a", DOCUMENT)

    assert documents.find("a") is DOCUMENT
    assert documents.find("b") is None


def test_the_least_recently_used_document_is_forgotten_first() -> None:
    documents: Documents[DocumentNode] = Documents(maximum_document=4, maximum_total=10)
    documents.keep("aaaa", DOCUMENT)
    documents.keep("bbbb", DOCUMENT)
    documents.find("aaaa")

    documents.keep("cccc", DOCUMENT)

    assert [documents.find(text) for text in ("aaaa", "bbbb", "cccc")] == [DOCUMENT, None, DOCUMENT]


def test_a_document_that_is_kept_twice_counts_once() -> None:
    documents: Documents[DocumentNode] = Documents(maximum_document=4, maximum_total=8)
    documents.keep("aaaa", DOCUMENT)
    documents.keep("bbbb", DOCUMENT)

    documents.keep("bbbb", DOCUMENT)

    assert documents.find("aaaa") is DOCUMENT


def test_a_big_document_is_not_remembered() -> None:
    documents: Documents[DocumentNode] = Documents(maximum_document=4, maximum_total=8)
    documents.keep("aaaa", DOCUMENT)

    documents.keep("b" * 5, DOCUMENT)

    assert documents.find("b" * 5) is None
    assert documents.find("aaaa") is DOCUMENT
