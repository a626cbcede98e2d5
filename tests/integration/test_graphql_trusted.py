"""Trusted documents: named by their SHA-256, and the only ones if that is asked for."""

import json
from pathlib import Path

import pytest

from gql_app.core.values import Json
from gql_app.schema import operations
from gql_app.schema.execution import GraphQLRequest, Operations, RefusedOperationError
from gql_app.schema.trusted import InvalidTrustedDocumentsError, digest_of
from gql_app.settings import Posture, Settings
from tests.support.graphql import Api, GraphQLProblem, read_answer, read_body
from tests.support.service import Stage

pytestmark = pytest.mark.anyio

HEALTH = "query Health { health { status } }\n"
ID = digest_of(HEALTH)
TYPENAME = "{ __typename }"


@pytest.fixture(name="directory")
def make_directory(tmp_path: Path) -> Path:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "Health.graphql").write_text(HEALTH, encoding="utf-8")
    (tmp_path / "README.md").write_text("no document", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "request_",
    [
        GraphQLRequest(document_id=ID),
        GraphQLRequest(document_id=f"sha256:{ID}"),
        GraphQLRequest(document_id=f"sha256:{ID.upper()}"),
        GraphQLRequest(extensions={"persistedQuery": {"version": 1, "sha256Hash": ID}}),
        GraphQLRequest(query=HEALTH, extensions={"persistedQuery": {"version": 1, "sha256Hash": ID}}),
        GraphQLRequest(query=HEALTH),
    ],
)
@pytest.mark.parametrize("only", [False, True])
async def test_a_trusted_document_is_carried_out(request_: GraphQLRequest, only: bool, directory: Path) -> None:
    api = Api(Stage().service, settings=Settings(trusted_documents=directory, trusted_documents_only=only))

    operation = api.operations.prepare(request_, api.identity)

    assert operation.trusted
    answer = read_answer(await api.operations.execute(operation, api.context))
    assert answer.data == {"health": {"status": "OK"}}


@pytest.mark.parametrize(
    "manifest",
    [
        {ID: HEALTH},
        {f"sha256:{ID}": HEALTH},
        {
            "format": "apollo-persisted-query-manifest",
            "version": 1,
            "operations": [{"id": ID, "name": "Health", "type": "query", "body": HEALTH}],
        },
    ],
)
def test_a_manifest_is_read_in_each_of_its_forms(manifest: Json, tmp_path: Path) -> None:
    api = api_of(write(tmp_path, manifest))

    assert api.operations.prepare(GraphQLRequest(document_id=ID), api.identity).trusted


def test_an_id_of_another_kind_is_known_by_its_name(tmp_path: Path) -> None:
    api = api_of(write(tmp_path, {"5d41402abc4b2a76b9719d911017c592": HEALTH}))

    operation = api.operations.prepare(GraphQLRequest(document_id="5d41402abc4b2a76b9719d911017c592"), api.identity)

    assert operation.name == "Health"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (GraphQLRequest(document_id="0" * 64), "PERSISTED_DOCUMENT_NOT_FOUND"),
        (GraphQLRequest(document_id="unknown"), "PERSISTED_DOCUMENT_NOT_FOUND"),
        (
            GraphQLRequest(extensions={"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}),
            "PERSISTED_QUERY_NOT_FOUND",
        ),
        (GraphQLRequest(extensions={"persistedQuery": {"version": 2}}), "BAD_REQUEST"),
        (GraphQLRequest(extensions={"persistedQuery": "x"}), "BAD_REQUEST"),
        (GraphQLRequest(query=TYPENAME, document_id=ID), "DOCUMENT_ID_MISMATCH"),
        (GraphQLRequest(query=TYPENAME, document_id="unknown"), "DOCUMENT_ID_MISMATCH"),
        (
            GraphQLRequest(query=TYPENAME, extensions={"persistedQuery": {"version": 1, "sha256Hash": ID}}),
            "DOCUMENT_ID_MISMATCH",
        ),
    ],
)
def test_an_id_that_names_nothing_or_something_else_is_refused(
    request_: GraphQLRequest, code: str, directory: Path
) -> None:
    assert refused(api_of(directory), request_).extensions["code"] == code


def test_clients_of_apollo_are_told_in_their_words_to_send_the_text(directory: Path) -> None:
    asked = GraphQLRequest(extensions={"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}})

    assert refused(api_of(directory), asked).message == "PersistedQueryNotFound"


@pytest.mark.parametrize("query", [TYPENAME, "{ __schema { types { name } } }", "{", HEALTH + " "])
def test_other_documents_are_refused_if_only_trusted_ones_are_carried_out(query: str, directory: Path) -> None:
    api = Api(Stage().service, settings=Settings(trusted_documents=directory, trusted_documents_only=True))

    assert refused(api, GraphQLRequest(query=query)).extensions["code"] == "UNTRUSTED_DOCUMENT"


def test_other_documents_are_carried_out_otherwise_but_not_trusted(directory: Path) -> None:
    api = api_of(directory)

    assert not api.operations.prepare(GraphQLRequest(query=TYPENAME), api.identity).trusted


def test_the_published_operations_can_be_trusted() -> None:
    api = api_of(Path(operations.__file__).parent)

    assert api.operations.prepare(
        GraphQLRequest(document_id=digest_of(operations.load("Health"))), api.identity
    ).trusted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("query {", "Syntax Error"),
        ("{ helth }", "Cannot query field 'helth'"),
        ("{ a: health { status } a: tools { name } }", "conflict"),
    ],
)
def test_a_document_that_cannot_be_carried_out_is_named_with_its_problem(
    text: str, problem: str, directory: Path
) -> None:
    (directory / "Broken.graphql").write_text(text, encoding="utf-8")

    with pytest.raises(InvalidTrustedDocumentsError) as raised:
        Operations(Settings(trusted_documents=directory))

    assert "Broken.graphql" in str(raised.value)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("manifest", "problem"),
    [({"0" * 64: HEALTH}, f"its SHA-256 is {ID}"), ([], "neither"), ({"operations": [{}]}, "neither"), ({}, "none")],
)
def test_a_manifest_that_is_wrong_says_so(manifest: Json, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidTrustedDocumentsError, match=problem):
        Operations(Settings(trusted_documents=write(tmp_path, manifest)))


def test_a_place_where_nothing_is_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrustedDocumentsError, match="cannot be read: No such file"):
        Operations(Settings(trusted_documents=tmp_path / "missing.json"))


def test_trusting_only_what_was_never_given_says_so() -> None:
    with pytest.raises(InvalidTrustedDocumentsError, match="say where they are"):
        Operations(Settings(trusted_documents_only=True))


@pytest.mark.parametrize("posture", list(Posture))
def test_introspection_is_for_development(posture: Posture) -> None:
    api = Api(Stage().service, settings=Settings(posture=posture))
    query = "{ ...F } fragment F on Query { __schema { queryType { name } } }"

    if posture is Posture.DEVELOPMENT:
        assert api.prepare(query).name is None
    else:
        assert refused(api, GraphQLRequest(query=query)).extensions["code"] == "INTROSPECTION_DISABLED"


@pytest.mark.parametrize("posture", list(Posture))
@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ helth { status } }", {}),
        ('{ tool(nam: "x") { name } }', {}),
        ("{ workflows(frist: 1) { nodes { id } } }", {}),
        ("{ workflows(orderBy: {field: NAM}) { nodes { id } } }", {}),
        ("{ workflows(filter: {nme: 1}) { nodes { id } } }", {}),
        ("query ($f: WorkflowFiltr) { workflows(filter: $f) { nodes { id } } }", {}),
        ("query ($f: WorkflowFilter) { workflows(filter: $f) { nodes { id } } }", {"f": {"nme": 1}}),
    ],
)
def test_suggestions_are_for_development(posture: Posture, query: str, variables: Json) -> None:
    api = Api(Stage().service, settings=Settings(posture=posture))

    told = refused(api, GraphQLRequest(query=query, variables=variables)).message

    assert ("Did you mean" in told) == (posture is Posture.DEVELOPMENT)


def api_of(documents: Path) -> Api:
    return Api(Stage().service, settings=Settings(trusted_documents=documents))


def refused(api: Api, request: GraphQLRequest) -> GraphQLProblem:
    with pytest.raises(RefusedOperationError) as raised:
        api.operations.prepare(request, api.identity)
    return (read_body(raised.value.body).errors or [])[0]


def write(directory: Path, manifest: Json) -> Path:
    path = directory / "manifest.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return path
