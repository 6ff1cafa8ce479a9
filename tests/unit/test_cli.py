"""What the command line shows of what others have typed."""

from dataclasses import replace

import pytest

from fitness.adapters.memory.store import InMemoryStore
from fitness.adapters.memory.users import InMemoryUserRepo
from fitness.entrypoints.commands.users import show
from tests.builders import NOW, a_registration


async def test_an_address_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]):
    ann = await InMemoryUserRepo(InMemoryStore()).add(a_registration(), password_hash="-", at=NOW)
    show([replace(ann, email="\x1b[31m\x9b31m\u202eann@example.org\nroot\tadmin")])
    shown = capsys.readouterr().out
    assert r"\x1b[31m\x9b31m\u202eann@example.org\nroot\tadmin" in shown
    assert shown.count("\n") == 1
