"""The container's resources: kept where they are made, closed in reverse order."""

import pytest

from fitness.entrypoints.wiring.resources import Resources


class TestResources:
    async def test_the_latest_made_is_closed_first_and_what_was_not_made_not_at_all(self):
        resources = Resources()
        closed: list[str] = []

        async def close_later(name: str) -> None:
            closed.append(name)

        assert resources.keep(close_later, str, "pool") == "pool"
        assert resources.keep(lambda name: closed.append(name), str, "threads") == "threads"
        await resources.close()
        assert closed == ["threads", "pool"]
        await resources.close()
        assert closed == ["threads", "pool"]

    async def test_one_that_cannot_be_closed_does_not_keep_the_others_open(self):
        resources = Resources()
        closed: list[str] = []

        def fail(_: str) -> None:
            raise OSError("stuck")

        resources.keep(closed.append, str, "first")
        resources.keep(fail, str, "second")
        with pytest.raises(OSError, match="stuck"):
            await resources.close()
        assert closed == ["first"]
