"""What every store answers to ids and numbers that nobody handed out, and to texts of all kinds."""

from dataclasses import replace

import pytest

from gql_app.core.errors import WorkflowNotFoundError
from gql_app.core.ids import DEFAULT_NAMESPACE, Namespace, RunId
from gql_app.core.listing import RunFilter, RunOrder, RunOrderField, RunPosition, RunQuery
from gql_app.core.signals import CancelRequested
from gql_app.ports import IdempotencyKey
from tests.support.logs import run_id, submission
from tests.support.repositories import OpenRepository

pytestmark = pytest.mark.anyio

STRANGE_IDS = ("", "\x00", "019c\x000000", "\x01", "ü" * 40, "🙈", "x" * 10_000, "'; DROP TABLE runs; --")
TEXTS = (
    "",
    "a",
    "A",
    "ab",
    "a\x00",
    "a\x00b",
    "a\x01",
    "a\x01\x01",
    "a\x01\x02",
    "\x00",
    "\x01",
    "ä",
    "z",
    "é",
    "e\u0301",
    "Ω",
    "🙈",
    "\uffff",
)


async def test_a_run_of_a_strange_id_is_not_there(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})

        for strange in map(RunId, STRANGE_IDS):
            with pytest.raises(WorkflowNotFoundError):
                await repository.summary(DEFAULT_NAMESPACE, strange)
            with pytest.raises(WorkflowNotFoundError):
                await repository.events(DEFAULT_NAMESPACE, strange, after=0, limit=10)
            with pytest.raises(WorkflowNotFoundError):
                await repository.wait(DEFAULT_NAMESPACE, strange, after=0)
            with pytest.raises(WorkflowNotFoundError):
                await repository.value(DEFAULT_NAMESPACE, strange, "aa")
            with pytest.raises(WorkflowNotFoundError):
                await repository.delete(DEFAULT_NAMESPACE, strange)
            with pytest.raises(WorkflowNotFoundError):
                await repository.send(DEFAULT_NAMESPACE, strange, CancelRequested(reason=None))


async def test_a_run_is_not_in_a_strange_namespace(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})

        for strange in map(Namespace, STRANGE_IDS):
            with pytest.raises(WorkflowNotFoundError):
                await repository.summary(strange, run_id(1))
            assert (await repository.list(strange, RunQuery())).runs == ()


async def test_no_value_has_a_strange_name(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={"aa": b"1"})

        for strange in STRANGE_IDS:
            with pytest.raises(KeyError):
                await repository.value(DEFAULT_NAMESPACE, run_id(1), strange)


@pytest.mark.parametrize("after", [2**31 - 1, 2**31, 2**63 - 1, 2**70])
async def test_nothing_follows_a_sequence_far_beyond_the_end(open_repository: OpenRepository, after: int) -> None:
    async with open_repository() as repository:
        await repository.create([submission()], values={})

        assert list(await repository.events(DEFAULT_NAMESPACE, run_id(1), after=after, limit=10)) == []


async def test_a_list_goes_on_from_a_position_of_a_strange_id(open_repository: OpenRepository) -> None:
    async with open_repository() as repository:
        await repository.create([submission(name="m")], values={})
        order = RunOrder(field=RunOrderField.NAME, descending=False)

        for strange in map(RunId, STRANGE_IDS):
            before = RunQuery(order=order, after=RunPosition("l", strange))
            behind = replace(before, after=RunPosition("n", strange))
            assert [run.name for run in (await repository.list(DEFAULT_NAMESPACE, before)).runs] == ["m"]
            assert (await repository.list(DEFAULT_NAMESPACE, behind)).runs == ()


async def test_names_and_labels_of_any_characters_are_kept_found_and_sorted_by_code_point(
    open_repository: OpenRepository,
) -> None:
    async with open_repository() as repository:
        for number, text in enumerate(TEXTS, 1):
            first = submission(number, name=text, labels={text: text, "same": text})
            await repository.create([first], values={}, idempotency=IdempotencyKey(text, "same"))

        order = RunOrder(field=RunOrderField.NAME, descending=False)
        listed = await repository.list(DEFAULT_NAMESPACE, RunQuery(limit=100, order=order))
        by_name = [
            (await repository.list(DEFAULT_NAMESPACE, RunQuery(filter=RunFilter(name=text)))).runs for text in TEXTS
        ]
        by_label = [
            (
                await repository.list(DEFAULT_NAMESPACE, RunQuery(filter=RunFilter(labels={text: text, "same": text})))
            ).runs
            for text in TEXTS
        ]
        again = [
            await repository.create([submission(100)], values={}, idempotency=IdempotencyKey(text, "same"))
            for text in TEXTS
        ]

    ids = [run_id(number) for number in range(1, len(TEXTS) + 1)]
    assert [run.name for run in listed.runs] == sorted(TEXTS)
    assert [[run.run_id for run in found] for found in by_name] == [[each] for each in ids]
    assert [[run.run_id for run in found] for found in by_label] == [[each] for each in ids]
    assert [run.labels for [run] in by_label] == [{text: text, "same": text} for text in TEXTS]
    assert again == ids
