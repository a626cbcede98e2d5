"""A log that no longer grows takes little memory and is read from anywhere."""

from hypothesis import example, given
from hypothesis import strategies as st

from gql_app.core.codec import encode_events
from gql_app.core.events import Usage
from gql_app.storage.compact import CHUNK_EVENTS, CompactLog
from tests.support.logs import finished_log
from tests.support.streams import StreamLog

LOG = finished_log(nodes=CHUNK_EVENTS)
PACKED = CompactLog(LOG)
PLACES = st.one_of(st.integers(0, len(LOG) + 5), st.sampled_from([CHUNK_EVENTS - 1, CHUNK_EVENTS, CHUNK_EVENTS + 1]))


@given(after=PLACES, limit=PLACES)
@example(after=0, limit=CHUNK_EVENTS + 1)
@example(after=CHUNK_EVENTS - 1, limit=2)
def test_any_part_is_read_as_it_was_written(after: int, limit: int) -> None:
    part = PACKED.read(after, limit)

    assert encode_events(part) == encode_events(LOG[after : after + limit])


def test_what_attempts_show_and_their_steps_are_read_as_they_were_written() -> None:
    log = StreamLog()
    log.start()
    for number in range(CHUNK_EVENTS):
        log.step(f"s{number}", input={"n": number})
        log.chunk(f"text {number}\u2028\x00", step=f"s{number}", step_attempt=1)
        log.log("line", number=number)
        log.progress(number / CHUNK_EVENTS, message="on")
        log.complete_step(f"s{number}", usage=Usage(requests=1, input_tokens=number, cost_usd=0.1))

    assert CompactLog(log.events).read(0, log.sequence) == log.events


def test_the_log_of_a_run_of_ten_nodes_takes_less_than_four_kilobytes() -> None:
    assert CompactLog(finished_log(nodes=10)).size < 4_096


def test_a_long_log_takes_a_tenth_of_what_it_is() -> None:
    assert PACKED.size < len(encode_events(LOG)) / 10
