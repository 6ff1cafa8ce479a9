"""What every ClockPort promises."""

from datetime import timedelta

from fitness.ports.clock import ClockPort


class ClockContract:
    """An implementation's class gives the fixture `clock`."""

    def test_the_time_is_aware_and_in_utc(self, clock: ClockPort):
        assert clock.now().utcoffset() == timedelta(0)

    def test_the_time_does_not_run_backwards(self, clock: ClockPort):
        assert clock.now() <= clock.now()
