"""Carries out operations: from what a client sent to the encoded answer, the same over every transport."""

import json
from collections.abc import AsyncGenerator, Hashable, Mapping
from contextlib import aclosing
from dataclasses import replace
from inspect import isawaitable
from typing import Final, cast

import orjson
from graphql import GraphQLError, located_error
from graphql.execution.values import VariableValues

from gql_app.core.access import Identity
from gql_app.core.values import Json
from gql_app.schema.access import unauthenticated
from gql_app.schema.build import Schema, schema
from gql_app.schema.cache import Documents
from gql_app.schema.coercion import Coercion
from gql_app.schema.context import Context
from gql_app.schema.documents import Document, DocumentOperation
from gql_app.schema.fields import Field, Types
from gql_app.schema.limits import Limits
from gql_app.schema.masking import present_errors
from gql_app.schema.operation import Answer, GraphQLRequest, Operation, Variables
from gql_app.schema.refusals import RefusedOperationError, refusal
from gql_app.schema.running import Execution, Slot
from gql_app.schema.sharing import SharedAnswers
from gql_app.schema.subscription import WorkflowUpdate
from gql_app.schema.trusted import InvalidTrustedDocumentsError, Manifest, find_text, read_manifest, untrusted
from gql_app.settings import Posture, Settings

__all__ = ["Answer", "GraphQLRequest", "Operation", "Operations", "RefusedOperationError"]

_NO_VARIABLES: Final = VariableValues({}, {})


class Operations:
    """Prepares and carries out operations on the schema."""

    def __init__(self, settings: Settings, *, schema: Schema = schema) -> None:
        self._limits = Limits.of(settings)
        self._seconds = settings.operation_seconds
        self._is_open = settings.posture is Posture.DEVELOPMENT
        self._types = Types(schema.published)
        self._only_trusted = settings.trusted_documents_only
        self._texts: Mapping[str, str] = {}
        self._trusted: dict[str, Document] = {}
        if settings.trusted_documents is not None:
            self._trust(read_manifest(settings.trusted_documents))
        elif self._only_trusted:
            raise InvalidTrustedDocumentsError("GQL_APP_TRUSTED_DOCUMENTS_ONLY is set", "say where they are.")
        self._documents: Documents[Document] = Documents(maximum_document=settings.maximum_document_bytes)
        self._shared = SharedAnswers()

    def prepare(self, request: GraphQLRequest, identity: Identity) -> Operation:
        """Read and check what was asked. Raises `RefusedOperationError`."""
        try:
            document = self._find(request)
            found = document.operation(request.operation_name)
            found.check_access(identity, introspection=self._is_open)
            document.validate()
        except RefusedOperationError:
            if not identity.scopes:
                # Who is nobody is told nothing about the schema, not even what is wrong with a document.
                raise unauthenticated() from None
            raise
        trusted = document.text in self._trusted
        if not trusted:
            self._documents.keep(document.text, document)
        found.prepare()
        variables = request.variables or {}
        values = self._coerce(found, variables)
        return Operation(
            text=document.text,
            document=document.node,
            node=found.node,
            plan=found.plan(values),
            variables=variables,
            values=values,
            inner_variables=found.inner_variables(variables),
            cost=self._check_cost(found, values),
            trusted=trusted,
            extensions=request.extensions or {},
        )

    async def execute(self, operation: Operation, context: Context) -> Answer:
        """Carry out a query or a mutation."""
        run = Execution(operation.plan, operation.values, context)
        run.begin(None)
        if run.waiting:
            await run.finish(self._seconds)
        return self._answer(operation, run)

    async def subscribe(self, operation: Operation, context: Context) -> AsyncGenerator[Answer, None]:
        """Carry out a subscription; close the generator to end it.

        Raises `RefusedOperationError` at the first step if it cannot begin; what fails later is a last answer.
        Subscribers of the same operation are given the same answer to the same update.
        """
        shared = self._shared
        share = (operation.plan, operation.inner_variables, self._asks_cost(operation) and operation.cost)
        async with aclosing(await self._source(operation, context)) as updates:
            try:
                async for update in updates:
                    key = (share, context.namespace, id(update.update))
                    answer = shared.find(key)
                    yield answer or await self._answer_update(operation, context, update, key)
            except Exception as error:  # noqa: BLE001 - an edge: what a subscription raises is its last answer
                yield self._last_answer(operation, context, error)

    def _find(self, request: GraphQLRequest) -> Document:
        text = find_text(request, self._texts)
        if not text:
            raise refusal("The query is empty.", "BAD_REQUEST")
        found = self._trusted.get(text)
        if found is None:
            if self._only_trusted:
                raise untrusted()
            found = self._documents.find(text) or self._read(text)
        return found

    def _read(self, text: str) -> Document:
        return Document(text, self._types, self._limits, hide_suggestions=not self._is_open)

    def _trust(self, manifest: Manifest) -> None:
        """Take the documents of a manifest, each of which must be carried out without fail."""
        self._texts = manifest.texts
        for text, source in manifest.sources.items():
            try:
                self._trusted[text] = self._read(text)
                self._trusted[text].validate()
            except RefusedOperationError as error:
                raise InvalidTrustedDocumentsError(source, str(error)) from None

    def _coerce(self, found: DocumentOperation, variables: Variables) -> VariableValues:
        if not found.signatures:
            return _NO_VARIABLES
        coercion = Coercion(maximum_errors=self._limits.errors, suggest=self._is_open)
        values = coercion.coerce(found.signatures, variables)
        if coercion.errors:
            raise RefusedOperationError(coercion.errors)
        return values

    def _check_cost(self, found: DocumentOperation, values: VariableValues) -> int:
        cost, maximum = found.cost.of(values.coerced), self._limits.cost
        if cost > maximum:
            message = f"The operation may answer with {cost} fields, and {maximum} are allowed; ask for less at once."
            raise refusal(message, "LIMIT_EXCEEDED", limit="cost", requested=cost, maximum=maximum)
        return cost

    async def _answer_update(
        self, operation: Operation, context: Context, update: WorkflowUpdate, key: Hashable
    ) -> Answer:
        """Make the answer to an update, unless somebody else is at it."""
        if self._shared.is_making(key):
            return await self._shared.join(key)
        run = Execution(operation.plan, operation.values, context)
        run.begin(update)
        if not run.waiting:
            return self._shared.keep(key, update.update, self._answer(operation, run, update.sequence))

        async def finish() -> Answer:
            await run.finish(self._seconds)
            return self._answer(operation, run, update.sequence)

        return await self._shared.make(key, update.update, finish)

    async def _source(self, operation: Operation, context: Context) -> AsyncGenerator[WorkflowUpdate]:
        """Begin with what is subscribed to. Raises `RefusedOperationError`."""
        run = Execution(operation.plan, operation.values, context)
        field = operation.plan.fields[0]
        try:
            arguments = run.arguments(field)
        except GraphQLError as error:
            raise RefusedOperationError([error]) from None
        subscribe = field.definition.subscribe
        assert subscribe is not None
        slot: Slot = (None, {}, field.key, True)
        updates = subscribe(None, run.resolve_info(field, slot), **arguments)
        if isawaitable(updates):
            updates = await updates
        return cast("AsyncGenerator[WorkflowUpdate]", updates)

    def _last_answer(self, operation: Operation, context: Context, error: Exception) -> Answer:
        run = Execution(operation.plan, operation.values, context)
        field: Field = operation.plan.fields[0]
        run.errors.append(located_error(error, field.nodes, [field.key]))
        return replace(self._answer(operation, run), broken=True)

    def _answer(self, operation: Operation, run: Execution, sequence: int | None = None) -> Answer:
        body: dict[str, Json] = {"data": run.data}
        if run.errors:
            presented = present_errors(run.errors, operation.node, operation.variables)
            body["errors"] = [error.formatted for error in presented]
        if operation.extensions and self._asks_cost(operation):
            body["extensions"] = {"cost": {"requested": operation.cost, "maximum": self._limits.cost}}
        return Answer(body=_encode(body), failed=bool(run.errors), sequence=sequence)

    @staticmethod
    def _asks_cost(operation: Operation) -> bool:
        return operation.extensions.get("cost") is True


def _encode(body: dict[str, Json]) -> bytes:
    try:
        return orjson.dumps(body, option=orjson.OPT_UTC_Z)
    except TypeError:
        # There may be whole numbers of more than 64 bits in a JSON value.
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False, default=_write).encode()


def _write(value: object) -> Json:
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_UTC_Z))
