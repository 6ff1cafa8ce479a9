"""The health of a dictionary."""


class InMemoryProbe:
    async def check(self) -> None:
        return
