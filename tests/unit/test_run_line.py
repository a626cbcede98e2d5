"""Whose turn it is: places for runs, and the line of those that wait."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gql_app.core.ids import Namespace, RunId
from gql_app.engine.line import RunLine

A, B, C = Namespace("a"), Namespace("b"), Namespace("c")


class Door:
    """A line, and who has a place."""

    def __init__(self, places: int, each: int) -> None:
        self.inside: list[tuple[Namespace, RunId]] = []
        self.line = RunLine(places=places, places_each=each, on_turn=lambda *run: self.inside.append(run))

    def enter(self, namespace: Namespace, *names: str) -> None:
        for name in names:
            if self.line.enter(namespace, RunId(name)):
                self.inside.append((namespace, RunId(name)))

    def leave(self) -> tuple[Namespace, RunId]:
        first = self.inside.pop(0)
        self.line.leave(first[0])
        return first

    def names(self) -> list[str]:
        return [name for _, name in self.inside]


def test_who_comes_first_goes_first() -> None:
    door = Door(places=1, each=1)
    door.enter(A, "1", "2", "3")

    order = [door.leave()[1] for _ in range(3)]

    assert order == ["1", "2", "3"]
    assert len(door.line) == door.line.taken == 0


def test_a_thousand_runs_of_one_namespace_do_not_hold_up_the_one_of_another() -> None:
    door = Door(places=2, each=2)
    door.enter(A, *(f"a{number}" for number in range(1_000)))

    door.enter(B, "b")
    door.leave()
    door.leave()

    assert "b" in door.names()


def test_namespaces_take_turns() -> None:
    door = Door(places=1, each=1)
    door.enter(A, "a1", "a2", "a3")
    door.enter(B, "b1", "b2")
    door.enter(C, "c1")

    order = [door.leave()[1] for _ in range(6)]

    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_namespace_at_its_limit_lets_others_pass() -> None:
    door = Door(places=3, each=1)
    door.enter(A, "a1", "a2", "a3")
    door.enter(B, "b1", "b2")

    assert door.names() == ["a1", "b1"]
    door.leave()
    assert door.names() == ["b1", "a2"]


def test_who_leaves_the_line_is_passed_over() -> None:
    door = Door(places=1, each=1)
    door.enter(A, "1", "2", "3")
    door.enter(B, "4")

    assert door.line.remove(A, RunId("2"))
    assert door.line.remove(B, RunId("4"))
    assert not door.line.remove(A, RunId("1"))
    assert not door.line.remove(B, RunId("3"))

    assert [door.leave()[1] for _ in range(2)] == ["1", "3"]


steps = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "remove"]), st.sampled_from([A, B, C]), st.integers(0, 7)),
    max_size=80,
)


@given(places=st.integers(1, 4), each=st.integers(1, 3), story=steps)
def test_limits_hold_and_nobody_waits_while_there_is_a_place(
    places: int, each: int, story: list[tuple[str, Namespace, int]]
) -> None:
    door = Door(places, each)
    waiting: dict[Namespace, list[RunId]] = {A: [], B: [], C: []}

    for count, (what, namespace, number) in enumerate(story):
        before = list(door.inside)
        if what == "enter":
            door.enter(namespace, str(count))
            waiting[namespace].append(RunId(str(count)))
        elif what == "leave" and door.inside:
            leaving = door.inside.pop(number % len(door.inside))
            before.remove(leaving)
            door.line.leave(leaving[0])
        elif what == "remove" and waiting[namespace]:
            gone = waiting[namespace].pop(number % len(waiting[namespace]))
            assert door.line.remove(namespace, gone)
        for place, run_id in door.inside[len(before) :]:
            assert waiting[place].pop(0) == run_id

        taken = Counter(place for place, _ in door.inside)
        assert len(door.inside) == door.line.taken <= places
        assert all(count <= each for count in taken.values())
        assert len(door.line) == sum(map(len, waiting.values()))
        assert all(door.line.waits(place, run_id) for place, runs in waiting.items() for run_id in runs)
        if door.line.taken < places:
            assert all(taken[place] == each for place, runs in waiting.items() if runs)

    while door.inside:
        door.leave()
    assert len(door.line) == 0
