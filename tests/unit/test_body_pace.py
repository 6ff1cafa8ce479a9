"""How fast a request's body has to come, on a clock of numbers."""

from fitness.entrypoints.server.deadlines import BODY_S, BODY_WINDOW_S, LEAST_BODY_RATE, BodyPace

WINDOW_BYTES = int(BODY_WINDOW_S * LEAST_BODY_RATE)
BEGAN_S = 1_000.0


def late_after_s(pace: BodyPace, received: int, *, since_s: float = BEGAN_S) -> float:
    """Seconds until it is late, if it is looked at each second and nothing more comes."""
    seconds = 0
    while not pace.is_late(since_s + seconds, received):
        seconds += 1
    return seconds


def test_a_body_of_which_nothing_comes_is_late_after_a_window():
    assert late_after_s(BodyPace(BEGAN_S), 0) == BODY_WINDOW_S + 1


def test_a_body_that_stalls_is_late_after_a_window_however_much_came_before():
    assert late_after_s(BodyPace(BEGAN_S), 25_000_000) == BODY_WINDOW_S + 1


def test_a_body_that_comes_just_fast_enough_is_not_late_before_its_whole_time_is_over():
    pace = BodyPace(BEGAN_S)
    late = [second for second in range(700) if pace.is_late(BEGAN_S + second, second * LEAST_BODY_RATE)]
    assert late[0] == BODY_S + 1


def test_a_body_that_comes_in_bursts_is_not_late_where_each_window_has_one():
    pace = BodyPace(BEGAN_S)
    assert not any(pace.is_late(BEGAN_S + second, second // 10 * WINDOW_BYTES) for second in range(600))


def test_a_body_that_comes_a_little_too_slowly_is_late_after_a_window():
    pace = BodyPace(BEGAN_S)
    late = [second for second in range(20) if pace.is_late(BEGAN_S + second, second * (LEAST_BODY_RATE - 100))]
    assert late[0] == BODY_WINDOW_S + 1


def test_time_in_which_the_service_does_not_read_does_not_count():
    pace = BodyPace(BEGAN_S)
    assert not pace.is_late(BEGAN_S + 5, WINDOW_BYTES)
    resumed_s = BEGAN_S + 5 + 2 * BODY_S
    pace.read_on(False, BEGAN_S + 5)
    pace.read_on(False, BEGAN_S + 9)
    pace.read_on(True, resumed_s)
    assert late_after_s(pace, WINDOW_BYTES, since_s=resumed_s) == BODY_WINDOW_S + 1
