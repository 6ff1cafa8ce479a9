"""What every ProbePort promises."""

from fitness.ports.health import ProbePort


class ProbeContract:
    """An implementation's class gives the fixture `probe`, on a store that answers."""

    async def test_a_store_that_answers_is_sound(self, probe: ProbePort):
        await probe.check()
