from gql_app.sandbox.watchdog import Watchdog


def test_what_took_too_long_is_ended_however_late_the_thread_wakes() -> None:
    watchdog = Watchdog()
    ended = []

    with watchdog.watching(-1.0, lambda: ended.append("end")):
        pass

    watchdog.close()
    assert ended == ["end"]


def test_what_ended_in_time_is_left_alone() -> None:
    watchdog = Watchdog()
    ended = []

    with watchdog.watching(3600.0, lambda: ended.append("end")):
        pass

    watchdog.close()
    assert ended == []
