"""What is told from the points of a track: time in motion, distance and climb, without what makes no sense."""

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from fitness.adapters.files.climb import climb_m
from fitness.adapters.files.measures import distance_m
from fitness.adapters.files.motion import motion_s, steps_of, way_m
from fitness.adapters.files.places import zone_at
from fitness.adapters.files.points import UNKNOWN, Points, longest_ascent, pieces_m, sound
from fitness.adapters.files.remarks import MOST, Remarks
from fitness.domain.model.activities import ActivityType

METRE = 1 / 111_319.49
"""In degrees of latitude."""
BEGAN_S = 1_777_615_200.0
DAY_S = 86_400.0


def track(*metres: float, every_s: float = 1.0, elevations_m: Sequence[float] = ()) -> Points:
    """Northwards from 46° N, 14.5° E: how far it has come at each point."""
    points = Points()
    for number, far_m in enumerate(metres):
        elevation = elevations_m[number] if elevations_m else UNKNOWN
        points.add(BEGAN_S + number * every_s, 46 + far_m * METRE, 14.5, elevation)
    return points


def tidied(points: Points) -> tuple[Points, tuple[str, ...]]:
    remarks = Remarks()
    return sound(points, remarks, "track 1"), remarks.sentences()


def moved_s(points: Points, sport: ActivityType = ActivityType.RUN) -> float:
    return motion_s(points, steps_of(points), sport)


def far_m(points: Points) -> float | None:
    return way_m(points, steps_of(points))


class TestMotion:
    def test_without_pauses_all_of_it_is_motion(self):
        points = track(*[3.0 * second for second in range(601)])
        assert (moved_s(points), points.elapsed_s) == (600, 600)

    def test_standing_still_is_none(self):
        there = [3.0 * second for second in range(301)]
        points = track(*there, *[900.0] * 300, *[900 + 3.0 * second for second in range(300)])
        assert moved_s(points) == pytest.approx(600, abs=15)
        assert points.elapsed_s == 900

    @pytest.mark.parametrize("seed", range(5))
    def test_a_receiver_that_wanders_while_its_owner_waits_does_not_move(self, seed: int):
        random, error, metres = Random(seed), 0.0, []
        for second in range(1_800):
            error = error * math.exp(-1 / 60) + random.gauss(0, 3 * math.sqrt(1 - math.exp(-2 / 60)))
            metres.append(3.0 * min(second, 600) + error)
        assert moved_s(track(*metres)) == pytest.approx(600, abs=60)

    def test_a_gap_in_which_nobody_came_far_is_a_pause(self):
        points = track(*[3.0 * second for second in range(301)])
        for second in range(300):
            points.add(BEGAN_S + 3_900 + second, 46 + (950 + 3 * second) * METRE, 14.5)
        assert moved_s(points) == pytest.approx(599, abs=10)

    def test_a_gap_that_was_crossed_at_speed_is_none(self):
        """A tunnel, or a watch that records when it turns."""
        points = track(0, 30, 60, 6_060, 6_090, every_s=10)
        assert moved_s(points, ActivityType.RIDE) == 40
        slow = track(*[150.0 * number for number in range(10)], every_s=60)
        assert moved_s(slow) == slow.elapsed_s

    def test_between_two_parts_of_a_recording_is_neither_time_nor_way(self):
        points = track(*[3.0 * second for second in range(101)])
        points.cut()
        for second in range(101):
            points.add(BEGAN_S + 700 + second, 46 + (3_000 + 3 * second) * METRE, 14.5)
        assert moved_s(points) == 200
        assert far_m(points) == pytest.approx(600, abs=1)

    @pytest.mark.parametrize(
        ("sport", "moves"), [(ActivityType.HIKE, True), (ActivityType.RIDE, False), (ActivityType.SWIM, True)]
    )
    def test_what_is_slow_depends_on_the_sport(self, sport: ActivityType, moves: bool):
        metres = [5.0 * second for second in range(200)] + [1_000 + 0.4 * second for second in range(400)]
        assert moved_s(track(*metres), sport) == pytest.approx(599 if moves else 200, abs=15)

    def test_who_stays_on_one_spot_for_the_sport_moves(self):
        points = track(*[1.0 * second for second in range(100)], *[100.0] * 900)
        assert moved_s(points, ActivityType.YOGA) == 999
        assert moved_s(points, ActivityType.RUN) < 150

    def test_where_nothing_moves_all_of_the_time_counts(self):
        points = track(*[0.0] * 1_000)
        assert moved_s(points, ActivityType.RUN) == 999

    def test_the_devices_own_distance_is_believed_first(self):
        points = track(*[0.0] * 100)
        for second in range(100):
            points.distances_m[second] = 2.5 * min(second, 50)
        assert far_m(points) == 125
        assert moved_s(points) == pytest.approx(50, abs=12)

    @pytest.mark.parametrize(
        ("told", "far"),
        [
            ([0, 3, 6, 9, 12], 12),
            ([0, 3, 0, 9, 12], 12),
            ([0, 3, 99_999, 9, 12], 12),
            ([0, 3, 1_006, 1_009, 1_012], 9),
            ([5, 5, 5, 5, 5], 0),
        ],
    )
    def test_a_distance_that_falls_back_or_jumps_counts_nothing(self, told: list[float], far: float):
        points = track(*[0.0] * 5)
        points.distances_m[:] = array("d", told)
        assert far_m(points) == far

    def test_many_points_in_one_second_take_no_longer(self):
        points = Points()
        for number in range(100_000):
            points.add(BEGAN_S + number / 10_000, 46.0, 14.5)
        assert moved_s(points) == pytest.approx(10, abs=0.1)


class TestClimb:
    def test_a_hill_counts_once(self):
        up = [100 + 0.2 * second for second in range(500)]
        assert climb_m(track(*range(1_000), elevations_m=up + up[::-1])) == pytest.approx(100, abs=1)

    def test_a_short_track_counts_from_its_first_to_its_last(self):
        assert climb_m(track(0, 1, 2, elevations_m=[100, 105, 110])) == 10

    @pytest.mark.parametrize("elevations_m", [[], [UNKNOWN, 100.0, UNKNOWN]])
    def test_without_two_elevations_it_is_not_known(self, elevations_m: list[float]):
        assert climb_m(track(0, 1, 2, elevations_m=elevations_m)) is None

    @pytest.mark.parametrize("seed", range(3))
    def test_flat_ground_stays_flat_whatever_the_barometer_says(self, seed: int):
        random = Random(seed)
        wavering = [100 + random.choice([-0.4, -0.2, 0.0, 0.2, 0.4]) for _ in range(3_600)]
        assert climb_m(track(*range(3_600), elevations_m=wavering)) == 0

    @pytest.mark.parametrize("seed", range(3))
    def test_the_noise_of_a_receiver_counts_a_third_of_what_it_did(self, seed: int):
        """Deviation of 3 m that is forgotten in a minute: the sum of what goes up is some 460 m an hour."""
        random, error, wavering = Random(seed), 0.0, []
        for _ in range(3_600):
            error = error * math.exp(-1 / 60) + random.gauss(0, 3 * math.sqrt(1 - math.exp(-2 / 60)))
            wavering.append(100 + error)
        summed = sum(max(0.0, later - sooner) for sooner, later in pairwise(wavering))
        climb = climb_m(track(*range(3_600), elevations_m=wavering))
        assert climb is not None
        assert climb < summed / 3

    @pytest.mark.parametrize("first", [[0, 400, 800, 943], [1_400, 0], [943 - 500]])
    def test_an_altimeter_that_settles_has_climbed_nothing(self, first: list[float]):
        hill = [943 + 0.1 * second for second in range(1_000)]
        points = track(*range(len(first) + 1_000), elevations_m=first + hill)
        assert climb_m(points) == pytest.approx(100, abs=1)

    def test_one_wild_elevation_counts_nothing(self):
        hill = [100 + 0.1 * second for second in range(1_000)]
        hill[500] += 300
        assert climb_m(track(*range(1_000), elevations_m=hill)) == pytest.approx(100, abs=2)

    @pytest.mark.parametrize("up_m", [15.0, 800.0])
    def test_a_pause_in_which_somebody_was_driven_up_counts_nothing(self, up_m: float):
        points = track(*range(100), elevations_m=[100.0] * 100)
        points.cut()
        for second in range(100):
            points.add(BEGAN_S + 3_600 + second, 46.1, 14.5, 100.0 + up_m)
        assert climb_m(points) == 0

    @pytest.mark.parametrize("seed", range(5))
    def test_a_point_whose_elevation_is_not_known_changes_nothing(self, seed: int):
        random, height, wavering = Random(seed), 100.0, []
        for _ in range(500):
            height += random.gauss(0, 2) + random.choice([0, 0, 0, 0, 0, 40]) * (seed == 4)
            wavering.append(height)
        climb = climb_m(track(*range(500), elevations_m=wavering))
        assert climb == climb_m(track(*range(501), elevations_m=[*wavering, UNKNOWN]))
        assert climb == climb_m(track(*range(501), elevations_m=[UNKNOWN, *wavering]))


class TestPieces:
    @pytest.mark.parametrize("far_degrees", [1e-5, 0.01, 0.15, 0.3, 20])
    def test_each_is_the_distance_of_its_two_places(self, far_degrees: float):
        random, points = Random(far_degrees), Points()
        for second in range(200):
            latitude, longitude = 46 + random.gauss(0, far_degrees), 14.5 + random.gauss(0, far_degrees)
            points.add(BEGAN_S + second, *((UNKNOWN, UNKNOWN) if second % 50 == 7 else (latitude, longitude)))
        places = list(zip(points.latitudes, points.longitudes, strict=True))
        expected = [distance_m(*later, *sooner) for sooner, later in pairwise(places)]
        assert list(map(repr, pieces_m(points))) == list(map(repr, expected))

    @pytest.mark.parametrize("metres", [[], [0.0]])
    def test_between_fewer_than_two_points_there_is_none(self, metres: list[float]):
        assert pieces_m(track(*metres)) == []


class TestSoundness:
    def test_what_is_sound_stays_as_it_is(self):
        points = track(*[3.0 * second for second in range(100)], elevations_m=[100.0] * 100)
        tidy, said = tidied(points)
        assert (tidy.columns()[:4], said) == (points.columns()[:4], ())

    @pytest.mark.parametrize("year_s", [-2_177_452_800.0, 0.0, 631_065_600.0, 4_039_372_800.0])
    @pytest.mark.parametrize("at", [0, 50, 99])
    def test_a_point_dated_in_another_age_is_left_out(self, year_s: float, at: int):
        points = track(*[3.0 * second for second in range(100)])
        points.times_s[at] = year_s
        tidy, said = tidied(points)
        assert said == ("track 1: left out 1 point dated far from the others",)
        assert len(tidy) == 99
        assert tidy.elapsed_s == (98 if at in (0, 99) else 99)

    @pytest.mark.parametrize("days", [-20.0, -2.5, 2.5, 20.0])
    @pytest.mark.parametrize("count", [1, 5])
    def test_a_few_points_of_a_clock_that_is_wrong_by_days_are_left_out(self, days: float, count: int):
        points = track(*[3.0 * second for second in range(60 + count)])
        for at in range(count):
            points.times_s[at] += days * DAY_S
        tidy, said = tidied(points)
        assert said == (f"track 1: left out {count} point{'s' * (count > 1)} dated far from the others",)
        assert (tidy.times_s[0], tidy.elapsed_s) == (BEGAN_S + count, 59)

    def test_of_a_clock_that_was_set_twice_no_point_before_is_left(self):
        points = track(*[3.0 * second for second in range(62)])
        points.times_s[0] -= 20 * DAY_S
        points.times_s[1] -= 10 * DAY_S
        assert tidied(points)[0].times_s[0] == BEGAN_S + 2

    @pytest.mark.parametrize(
        "days",
        [
            [0.0] * 60 + [1.0] * 60 + [2.0] * 60,
            [0.0] * 3 + [1.9] * 120,
            [0.0] * 120 + [1.9] * 3,
            [0.0] * 40 + [5.0] * 60,
            [0.0] * 10 + [5.0] * 200,
            [0.0] * 6 + [5.0] * 53,
            [0.0] * 3 + [3.0] * 60 + [6.0] * 60,
            [2.2 * number for number in range(12)],
            [0.0, 20.0],
        ],
        ids=[
            *("each day", "an evening before a day of rest", "an hour after it", "a stay in the middle"),
            *("ten points", "more than a tenth", "long stays", "a point every other day", "two points"),
        ],
    )
    def test_a_tour_of_many_days_is_whole(self, days: list[float]):
        points = Points()
        for number, day in enumerate(days):
            points.add(BEGAN_S + day * DAY_S + number, 46 + 3 * number * METRE, 14.5)
        tidy, said = tidied(points)
        assert (len(tidy), said) == (len(days), ())

    def test_the_fewest_points_are_left_out_where_time_goes_back(self):
        points = track(*[3.0 * second for second in range(100)])
        points.times_s[50] += 7_200
        tidy, said = tidied(points)
        assert (len(tidy), said) == (99, ("track 1: left out 1 point whose time goes back",))

    @pytest.mark.parametrize("place", [(0.0, 0.0), (0.0001, -0.0002), (91.0, 14.5), (46.0, 181.0), (math.inf, 14.5)])
    def test_a_place_that_is_none_is_left_out(self, place: tuple[float, float]):
        points = Points()
        for second in range(100):
            latitude, longitude = place if second in (0, 40) else (46 + 3 * second * METRE, 14.5)
            points.add(BEGAN_S + second, latitude, longitude)
        tidy, said = tidied(points)
        assert said == ("track 1: left out 2 places off the globe or at 0° N, 0° E",)
        assert far_m(tidy) == pytest.approx(294, abs=0.1)
        assert tidy.elapsed_s == 99

    @pytest.mark.parametrize("at", [0, 1, 50, 98, 99])
    @pytest.mark.parametrize("count", [1, 3])
    def test_a_jump_and_back_is_left_out(self, at: int, count: int):
        points = track(*[3.0 * second for second in range(100)])
        far = range(min(at, 100 - count), min(at, 100 - count) + count)
        for number in far:
            points.latitudes[number] = 12.0
        tidy, said = tidied(points)
        assert said == (f"track 1: left out {count} place{'s' if count > 1 else ''} too far from the others",)
        assert far_m(tidy) == pytest.approx(297, abs=10)

    def test_where_the_track_goes_on_elsewhere_both_parts_count_and_the_jump_does_not(self):
        points = track(*[3.0 * second for second in range(200)])
        for number in range(100, 200):
            points.latitudes[number] += 1
        tidy, said = tidied(points)
        assert said == ()
        assert far_m(tidy) == pytest.approx(2 * 297, abs=1)

    def test_a_place_that_is_not_known_is_on_the_way(self):
        points = track(*[3.0 * second for second in range(100)])
        for number in (10, 11, 12, 60):
            points.latitudes[number] = points.longitudes[number] = UNKNOWN
            points.without_place += 1
        tidy, _ = tidied(points)
        assert far_m(tidy) == pytest.approx(297, abs=0.1)
        assert moved_s(tidy) == 99

    def test_impossible_elevations_and_distances_are_left_out(self):
        points = track(0, 3, 6, 9, elevations_m=[100, 65_000, math.inf, 101])
        for number, told in enumerate((0.0, -5.0, 6.0, 1e300)):
            points.distances_m[number] = told
        tidy, said = tidied(points)
        assert said == (
            "track 1: left out 2 impossible elevations",
            "track 1: left out 2 impossible distances",
        )
        assert climb_m(tidy) == 0
        assert far_m(tidy) == 6

    @pytest.mark.parametrize("unknown", [[0], [1], [0, 1], [3, 4], [0, 2, 5], [5]])
    def test_what_is_impossible_is_left_out_whatever_else_is_not_known(self, unknown: list[int]):
        elevations_m = [100.0, 101.0, 65_000.0, -5_000.0, 102.0, 103.0]
        impossible = {2, 3} - {*unknown}
        for at in unknown:
            elevations_m[at] = UNKNOWN
        tidy, said = tidied(track(*range(6), elevations_m=elevations_m))
        assert said == (f"track 1: left out {len(impossible)} impossible elevation{'s' * (len(impossible) > 1)}",)
        assert [at for at, value in enumerate(tidy.elevations_m) if value == value] == sorted({0, 1, 4, 5} - {*unknown})

    def test_cuts_stay_between_the_points_that_they_were_between(self):
        points = track(0, 3, 6)
        points.cut()
        for second in (3, 4, 5):
            points.add(BEGAN_S + second, 46 + 3 * second * METRE, 14.5)
        assert points.kept([0, 2, 3, 5]).cuts == [2]
        assert points.kept([0, 1]).cuts == []
        assert points.kept([4, 5]).cuts == []

    @pytest.mark.parametrize(
        ("values", "picked"),
        [([], []), ([5], [0]), ([1, 2, 2, 3], [0, 1, 2, 3]), ([1, 9, 2, 3], [0, 2, 3]), ([3, 2, 1], [2])],
    )
    def test_the_longest_ascent_is_found(self, values: list[float], picked: list[int]):
        assert longest_ascent(values) == picked

    @pytest.mark.parametrize("seed", range(20))
    def test_it_is_the_longest_there_is(self, seed: int):
        values = [float(Random(seed * 100 + number).randint(0, 9)) for number in range(12)]
        lengths = [len(picked) for picked in _subsequences(values) if all(map(float.__le__, picked, picked[1:]))]
        assert len(longest_ascent(values)) == max(lengths)


def _subsequences(values: list[float]) -> list[list[float]]:
    return [[value for number, value in enumerate(values) if mask >> number & 1] for mask in range(1, 2 ** len(values))]


def test_remarks_have_an_end():
    remarks = Remarks()
    for number in range(1_000):
        remarks.add(f"track {number}", "left out")
        remarks.add("track 0", "left out")
    assert len(remarks.sentences()) == MOST + 1
    assert remarks.sentences()[-1] == "and 970 more like these"


@pytest.mark.parametrize(
    ("place", "zone"),
    [
        ((35.7, 139.7), "Asia/Tokyo"),
        ((46.05, 14.5), "Europe/Ljubljana"),
        ((0.0, 0.0), None),
        ((0.0, -150.0), None),
        ((90.0, 0.0), None),
        (None, None),
    ],
)
def test_a_place_has_a_zone_but_not_at_sea(place: tuple[float, float] | None, zone: str | None):
    assert zone_at(place) == zone
