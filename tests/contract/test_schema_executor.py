"""A plan answers as the executor of graphql-core does."""

import asyncio
import random
from collections.abc import Iterator

import orjson
import pytest
import strawberry
from graphql import (
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    execute,
    get_introspection_query,
    get_named_type,
    get_operation_ast,
    is_required_argument,
    parse,
    validate,
)
from graphql.execution.values import VariableValues
from graphql.validation import OverlappingFieldsCanBeMergedRule
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from gql_app.core.access import ANYBODY
from gql_app.core.ids import RunId
from gql_app.core.values import Json
from gql_app.schema import operations
from gql_app.schema.build import schema
from gql_app.schema.coercion import coerce_variables
from gql_app.schema.compiler import Plan
from gql_app.schema.context import Context
from gql_app.schema.fields import Types
from gql_app.schema.merging import Merging
from gql_app.schema.running import Execution
from tests.support.service import Stage, document, node

pytestmark = pytest.mark.anyio

PUBLISHED = schema.published
SECONDS = 60.0

Lines = Iterator[str]


@strawberry.interface
class Animal:
    name: str


@strawberry.type
class Dog(Animal):
    barks: bool = True


@strawberry.type
class Fish(Animal):
    depth: float = 1.5


@strawberry.type
class Leaf:
    value: int | None = 1

    @strawberry.field
    def broken(self) -> int:
        raise GraphQLError("broken")

    @strawberry.field
    async def broken_later(self) -> int:
        await asyncio.sleep(0)
        raise GraphQLError("broken later")

    @strawberry.field
    def nothing(self) -> int:
        return None  # type: ignore[return-value]

    @strawberry.field
    async def later(self, times: int = 1) -> int:
        for _ in range(times):
            await asyncio.sleep(0)
        return times


@strawberry.type
class Branch:
    leaf: Leaf = strawberry.field(default_factory=Leaf)
    perhaps: Leaf | None = strawberry.field(default_factory=Leaf)
    leaves: list[Leaf] = strawberry.field(default_factory=lambda: [Leaf(), Leaf(value=None)])
    sparse: list[Leaf | None] | None = strawberry.field(default_factory=lambda: [Leaf(), None, Leaf()])
    numbers: list[int | None] = strawberry.field(default_factory=lambda: [1, None, 2**40])
    animals: list[Animal] = strawberry.field(default_factory=lambda: [Dog(name="Rex"), Fish(name="Nemo")])

    @strawberry.field
    async def slow(self) -> "Branch | None":
        await asyncio.sleep(0)
        return Branch()


@strawberry.type
class Root:
    branch: Branch = strawberry.field(default_factory=Branch)


@strawberry.type
class Changes:
    @strawberry.mutation
    async def append(self, info: strawberry.Info, value: int) -> list[int]:
        for _ in range(10 - value):
            await asyncio.sleep(0)
        LOG.append(value)
        return list(LOG)


LOG: list[int] = []
TOY = strawberry.Schema(query=Root, mutation=Changes, types=[Dog, Fish])._schema


@pytest.mark.parametrize(
    "query",
    [
        "{ branch { leaf { value broken } } }",
        "{ branch { perhaps { value broken } leaf { value } } }",
        "{ branch { perhaps { value brokenLater later } leaf { value } } }",
        "{ branch { leaf { brokenLater } } }",
        "{ branch { leaves { value nothing } } }",
        "{ branch { sparse { value nothing } } }",
        "{ branch { sparse { value brokenLater } } }",
        "{ branch { leaves { value later(times: 3) } } }",
        "{ branch { numbers } }",
        "{ branch { slow { perhaps { later nothing } slow { leaves { later(times: 2) } } } } }",
        "{ branch { slow { leaf { broken } } } }",
        "{ branch { animals { __typename name ... on Dog { barks } ... on Fish { depth } } } }",
        "{ branch { animals { ...A } animals { ...B } } } fragment A on Animal { name } fragment B on Fish { depth }",
        "query ($yes: Boolean = true) { branch { leaf { value @skip(if: $yes) } leaf @skip(if: $yes) { a: value } } }",
        "query ($no: Boolean!) { ... @include(if: $no) { branch { numbers } } b: branch { leaf { value } } }",
        "query ($times: Int) { branch { leaf { later(times: $times) } } }",
        "query ($times: Int!) { branch { leaf { later(times: $times) } } }",
        "mutation { a: append(value: 1) b: append(value: 2) c: append(value: 9) }",
    ],
)
async def test_values_nulls_and_errors_stand_where_the_executor_puts_them(query: str) -> None:
    variables = {"no": False, "times": 2}

    assert await by_plan(TOY, query, variables) == await by_executor(TOY, query, variables)


@pytest.mark.parametrize("name", ["GetWorkflow", "Health", "ListTools", "ListWorkflows", "ValidateWorkflow"])
async def test_published_operations_are_answered_alike(name: str) -> None:
    context, run_id = await stage()
    variables = {"id": run_id, "spec": document(node("a")), "first": 3}

    query = operations.load(name)

    assert await by_plan(PUBLISHED, query, variables, context) == await by_executor(
        PUBLISHED, query, variables, context
    )


async def test_introspection_is_answered_alike() -> None:
    query = get_introspection_query(specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True)

    assert await by_plan(PUBLISHED, query, {}) == await by_executor(PUBLISHED, query, {})


@pytest.mark.parametrize("seed", range(40))
async def test_any_selection_is_answered_alike(seed: int) -> None:
    context, run_id = await stage()
    drawn = random.Random(seed)
    query = f"{{ workflow(id: {orjson.dumps(run_id).decode()}) {{ {' '.join(selection('WorkflowRun', drawn, 4))} }} }}"
    assert validate(PUBLISHED, parse(query)) == []

    assert await by_plan(PUBLISHED, query, {}, context) == await by_executor(PUBLISHED, query, {}, context)


def selection(name: str, drawn: random.Random, depth: int, *, clean: bool = True) -> Lines:
    """Draw a selection of a type: fields that need no argument, inline fragments, aliases and repetitions."""
    kind = PUBLISHED.get_type(name)
    yield "__typename"
    if isinstance(kind, GraphQLInterfaceType | GraphQLUnionType):
        for each in PUBLISHED.get_possible_types(kind):
            yield f"... on {each.name} {{ {' '.join(selection(each.name, drawn, depth - 1, clean=clean))} }}"
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        for index, (key, field) in enumerate(kind.fields.items()):
            if any(is_required_argument(argument) for argument in field.args.values()) or drawn.random() < 0.4:
                continue
            inner = get_named_type(field.type)
            renamed = drawn.random() < 0.3 or (clean and kind.interfaces)
            alias = f"{inner.name.lower()}{index}_{kind.name}: " if renamed else ""
            if not isinstance(inner, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
                arguments = '(pointer: "/x")' if "pointer" in field.args and drawn.random() < 0.5 else ""
                yield f"{alias}{key}{arguments}"
            elif depth:
                yield f"{alias}{key} {{ {' '.join(selection(inner.name, drawn, depth - 1, clean=clean))} }}"


@pytest.mark.parametrize("seed", range(60))
async def test_fields_that_conflict_are_those_of_the_specification(seed: int) -> None:
    drawn = random.Random(seed)
    kinds = [drawn.choice(["NodeRun", "RunEvent", "WaitingOn", "WorkflowRun"]) for _ in range(3)]
    fragments = [
        f"fragment F{index} on {kind} {{ {' '.join(selection(kind, drawn, 2, clean=index > 0))} }}"
        for index, kind in enumerate(kinds)
    ]
    fields = (
        "{ workflow(id: 1) { nodes { ...F0 ...F1 waitingOn { ...F2 } } events { ...F0 ...F1 ...F2 } ...F0 ...F1 } }"
    )
    parsed = parse(" ".join([fields, *fragments]))

    found = Merging(PUBLISHED, parsed, maximum_errors=10, maximum_steps=100_000).conflicts()

    assert bool(found) == bool(validate(PUBLISHED, parsed, [OverlappingFieldsCanBeMergedRule]))


async def stage() -> tuple[Context, RunId]:
    """Make a run in which something of everything has happened."""
    there = Stage()
    there.tools.names.append("echo")
    run_id = await there.submit(
        node("a", input={"x": 1}),
        node("b", "a", input="${ nodes.a.output }", retry={"maximumAttempts": 1}, continueOnFailure=True),
        node("c", when="${ false }"),
        node("d", "a", retry={"jitter": "NONE"}),
    )
    await there.executor.succeed(run_id, "a", {"x": [1, 2.5, None, "ü"]})
    await there.executor.fail(run_id, "b")
    await there.executor.fail(run_id, "d")
    return Context(service=there.service, identity=ANYBODY), run_id


async def by_plan(
    published: GraphQLSchema, query: str, variables: Json, context: Context | None = None
) -> tuple[Json, Json]:
    LOG.clear()
    parsed = parse(query)
    operation = get_operation_ast(parsed)
    assert operation is not None
    values, errors = coerce_variables(published, operation, variables)
    assert errors == []
    run = Execution(make_plan(published, query, operation, values), values, context)  # type: ignore[arg-type]
    run.begin(None)
    if run.waiting:
        await run.finish(SECONDS)
    return read(run.data), told(run.errors)


def make_plan(published: GraphQLSchema, query: str, operation: OperationDefinitionNode, values: VariableValues) -> Plan:
    definitions = parse(query).definitions
    fragments = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
    conditions = {name: value for name, value in values.coerced.items() if isinstance(value, bool)}
    return Plan(Types(published), fragments, operation, conditions)


async def by_executor(
    published: GraphQLSchema, query: str, variables: Json, context: Context | None = None
) -> tuple[Json, Json]:
    LOG.clear()
    result = execute(
        published,
        parse(query),
        context_value=context,
        variable_values=variables,
        executor_class=StrawberryGraphQLCoreExecutionContext,
    )
    if not isinstance(result, ExecutionResult):
        result = await result
    return read(result.data), told(result.errors or [])


def read(data: Json) -> Json:
    """Read an answer as a client does, the order of its fields included."""
    return orjson.dumps(data, option=orjson.OPT_UTC_Z)


def told(errors: list[GraphQLError]) -> Json:
    return sorted(orjson.dumps([error.path, error.message if error.path else ""]) for error in errors)
