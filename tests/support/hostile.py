"""Requests that are made to cost a service time, each within the limits of bytes."""

from collections.abc import Mapping
from typing import Final

from gql_app.core.values import Json
from gql_app.schema.execution import GraphQLRequest

_PAGE: Final = "query ($f: WorkflowFilter) { workflows(filter: $f) { nodes { id } } }"
_CHECK: Final = "query ($s: WorkflowSpecInput!, $i: JSON) { validateWorkflow(spec: $s, input: $i) { __typename } }"
_MEGABYTE: Final = 1_000_000
_SOME: Final = 45
"""About as many fragments or operations as a document may have."""


def _request(query: str, **variables: Json) -> GraphQLRequest:
    return GraphQLRequest(query=query, variables=variables)


def _fragments(body: str, *, last: str = "id", on: str = "WorkflowRun") -> str:
    """Chain fragments: `body` with the next one's name in the place of `NEXT`."""
    chained = [f"fragment F{i} on {on} {{ {body.replace('NEXT', f'F{i + 1}')} }}" for i in range(_SOME)]
    return " ".join([*chained, f"fragment F{_SOME} on {on} {{ {last} }}"])


def _nested(count: int, opened: str = "[", closed: str = "]") -> str:
    return opened * count + closed * count


def _deep(count: int) -> Json:
    value: Json = []
    for _ in range(count):
        value = [value]
    return value


def _literal_spec(nodes: str) -> str:
    return '{ validateWorkflow(spec: {name: "a", nodes: [' + nodes + "]}) { __typename } }"


def _introspection(times: int) -> str:
    inner = "kind name description ofType { kind name ofType { kind name ofType { kind name } } }"
    fields = f"fields {{ name description args {{ name description type {{ {inner} }} }} type {{ {inner} }} }}"
    types = f"types {{ name description {fields} inputFields {{ name type {{ {inner} }} }} }}"
    return "{ " + " ".join(f"a{i}: __schema {{ {types} }}" for i in range(times)) + " }"


REQUESTS: Final[Mapping[str, GraphQLRequest]] = {
    # Fragments
    "fragments spread twice each, deep": _request("{ workflow(id: 1) { ...F0 } } " + _fragments("...NEXT ...NEXT")),
    "fragments spread twice each, under aliases": _request(
        "{ __schema { types { ...F0 } } } "
        + " ".join(
            f"fragment F{i} on __Type {{ a: ofType {{ ...F{i + 1} }} b: ofType {{ ...F{i + 1} }} }}" for i in range(9)
        )
        + " fragment F9 on __Type { name }"
    ),
    "fragments spread widely": _request(
        "{ workflow(id: 1) { " + "...F " * 900 + " } } fragment F on WorkflowRun { nodes { id } }"
    ),
    "fragments spread widely in one another": _request(
        "{ workflow(id: 1) { ...F0 } } "
        + " ".join(
            f"fragment F{i} on WorkflowRun {{ {' '.join(f'...F{j}' for j in range(i + 1, _SOME))} id }}"
            for i in range(40)
        )[:15_000]
    ),
    "fragments in themselves": _request("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A ...B }"),
    "many fragments in one another": _request(
        "{ workflow(id: 1) { ...F0 } } "
        + " ".join(
            f"fragment F{i} on WorkflowRun {{ ...F{(i * 7 + 1) % _SOME} ...F{(i + 1) % _SOME} }}" for i in range(_SOME)
        )
    ),
    "fragments nobody uses": _request("{ __typename } " + _fragments("id name status nodes { id }")),
    "inline fragments in one another": _request("{ " + "... { " * 150 + "__typename" + " }" * 151),
    "inline fragments beside one another": _request(
        "{ workflow(id: 1) { events { "
        + " ".join(f"... on NodeEvent {{ sequence at n: nodeId #{i}\n }}" for i in range(200))
        + " } } }"
    ),
    # Fields
    "one field again and again": _request("{ health { " + "status " * 1_950 + "} }"),
    "one selection again and again": _request("{ health { " + "checks { name } " * 390 + "} }"),
    "one selection again and again, each different": _request(
        "{ workflow(id: 1) { " + " ".join(f"nodes {{ id {'status ' * (i % 9)} }}" for i in range(240)) + "} }"
    ),
    "overlapping fields": _request(
        "{ workflow(id: 1) { " + " ".join(f'output(pointer: "/{i}")' for i in range(280)) + " } }"
    ),
    "overlapping fields that agree": _request(
        "{ workflow(id: 1) { " + " ".join(f"output(pointer: {' ' * i}null)" for i in range(140)) + " } }"
    ),
    "overlapping selections in fragments": _request(
        "{ workflow(id: 1) { "
        + " ".join(f"...F{i}" for i in range(_SOME))
        + " } } "
        + " ".join(
            f"fragment F{i} on WorkflowRun {{ nodes {{ id attempts {{ number error {{ type }} }} }} events {{ at }} }}"
            for i in range(_SOME)
        )
    ),
    "unknown names": _request("{ workflow(id: 1) { " + " ".join(f"statu{i}" for i in range(1_900)) + " } }"),
    "unknown arguments": _request("{ workflow(" + " ".join(f"i{i}: 1" for i in range(600)) + ") { id } }"),
    "unknown types": _request(
        "{ workflow(id: 1) { " + " ".join(f"... on WorkflowRu{i} {{ id }}" for i in range(300)) + " } }"
    ),
    "unknown values": _request(
        "{ workflows(filter: {statuses: [" + " ".join(f"PENDIN{i}" for i in range(1_500)) + "]}) { nodes { id } } }"
    ),
    "a name of 19,000 characters": _request("{ " + "a" * 19_000 + " }"),
    "names of 1,000 characters": _request(
        "{ health { " + " ".join("status" + chr(97 + i) * 1_000 for i in range(18)) + " } }"
    ),
    "aliases": _request("{ health { " + " ".join(f"a{i}: status" for i in range(650)) + " } }"),
    "thirty aliases of a long list": _request(
        "{ " + " ".join(f"a{i}: tools {{ name inputSchema outputSchema }}" for i in range(20)) + " }"
    ),
    "selections in one another": _request("{ a " * 190 + "}" * 190),
    "selections in one another beyond what is parsed": _request("{ a " * 990),
    # Directives
    "directives": _request("{ __typename " + "@include(if: true) " * 330 + "}"),
    "unknown directives": _request("{ __typename " + "@a " * 900 + "}"),
    "directives on a thousand fields": _request("{ health { " + "status @a " * 600 + "} }"),
    "conditions of twenty variables": _request(
        "query ("
        + " ".join(f"$a{i}: Boolean = true" for i in range(20))
        + ") { health { "
        + " ".join(f"status @include(if: $a{i})" for i in range(20))
        + " } }"
    ),
    # Operations and variables
    "operations": _request("query A { __typename } " * 390),
    "operations that are named": GraphQLRequest(
        query=" ".join(f"query A{i} {{ workflow(id: 1) {{ nodes {{ id status tool }} }} }}" for i in range(50)),
        operation_name="A7",
    ),
    "variables": _request("query (" + " ".join(f"$a{i}: Int" for i in range(480)) + ") { __typename }"),
    "variables that are used": _request(
        "query ("
        + " ".join(f"$a{i}: Int" for i in range(190))
        + ") { workflows(filter: {labels: ["
        + " ".join(f"$a{i}" for i in range(190))
        + "]}) { nodes { id } } }"
    ),
    # Values in the document
    "lists in one another": _request("{ validateWorkflow(spec: {nodes: " + _nested(190) + "}) { __typename } }"),
    "lists in one another beyond what is parsed": _request(
        "{ validateWorkflow(input: " + _nested(990) + ") { __typename } }"
    ),
    "objects in one another": _request(
        "{ validateWorkflow(spec: " + "{a: " * 190 + "1" + "}" * 190 + ") { __typename } }"
    ),
    "a list of objects": _request(_literal_spec('{id: "a", tool: "b"} ' * 215)),
    "a list of numbers": _request(
        '{ validateWorkflow(spec: {name: "a", nodes: [], input: [' + "1 " * 1_900 + "]}) { __typename } }"
    ),
    "a list of wrong values": _request(_literal_spec("1 " * 1_900)),
    "an object of one field again and again": _request(_literal_spec("{" + 'id: "a" ' * 600 + "}")),
    "an object of unknown fields": _request(_literal_spec("{" + " ".join(f"a{i}: 1" for i in range(600)) + "}")),
    "a number of 19,000 digits": _request("{ workflows(first: " + "9" * 19_000 + ") { nodes { id } } }"),
    "a number with an exponent of 18,000 digits": _request(
        '{ validateWorkflow(spec: {name: "a", nodes: [], timeoutSeconds: 1e' + "9" * 18_000 + "}) { __typename } }"
    ),
    "a string of 19,000 characters": _request('{ workflow(id: "' + "a" * 19_000 + '") { id } }'),
    "a string of escapes": _request('{ workflow(id: "' + "\\u0041" * 3_200 + '") { id } }'),
    "a string of wrong escapes": _request('{ workflow(id: "' + "\\u{110000}" * 1_900 + '") { id } }'),
    "block strings": _request("{ workflow(id: " + '"""' + "\n " * 9_000 + '""") { id } }'),
    "comments": _request("#\n" * 9_000 + "{ __typename }"),
    "commas": _request("," * 19_000 + "{ __typename }"),
    "no document at all": _request("\ufeff" * 6_000 + "{" * 1_000),
    # Introspection
    "introspection in circles": _request(
        "{ __schema { types { " + "fields { type { " * 6 + "name" + " } }" * 6 + " } } }"
    ),
    "introspection again and again": _request(_introspection(10)),
    "introspection through types of types": _request(
        '{ __type(name: "Query") { ' + "ofType { " * 180 + "name" + " }" * 182
    ),
    # Variables
    "an object of 10,000 unknown fields": _request(_PAGE, f={f"statuse{i}": i for i in range(10_000)}),
    "a list of wrong values of a megabyte": _request(_PAGE, f={"statuses": [1] * (_MEGABYTE // 2)}),
    "a list of right values of a megabyte": _request(_PAGE, f={"statuses": ["PENDING"] * (_MEGABYTE // 10)}),
    "nodes of a megabyte": _request(_CHECK, s={"name": "a", "nodes": [{}] * (_MEGABYTE // 3)}),
    "nodes that are numbers": _request(_CHECK, s={"name": "a", "nodes": [1] * (_MEGABYTE // 2)}),
    "a list in a thousand lists": _request(_PAGE, f={"statuses": _deep(900)}),
    "a thousand lists for an object": _request(_CHECK, s=_deep(900)),
    "a string of a megabyte": _request(_PAGE, f={"createdAfter": "9" * _MEGABYTE}),
    "a name of a megabyte": _request(_PAGE, f={"a" * _MEGABYTE: 1}),
    "a number of 64 bits": _request("query ($n: Int) { workflows(first: $n) { nodes { id } } }", n=2**64 - 1),
    "a hundred thousand variables nobody knows": _request("{ __typename }", **{f"a{i}": i for i in range(100_000)}),
}
"""What each does, and the request that does it."""
