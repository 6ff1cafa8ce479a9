"""A worker on the service's use cases and stores: makes activities of the files in a folder, for one account.

python inbox.py ann@example.org folder
"""

import asyncio
import os
import secrets
import sys
from pathlib import Path

from fitness.domain.model.originals import UploadedFile
from fitness.domain.model.refusals import Refusal, UserNotFound
from fitness.domain.model.users import Caller, Registration
from fitness.entrypoints.wiring.container import Container
from fitness.entrypoints.wiring.lifecycle import running
from fitness.entrypoints.wiring.stores import settings_from, with_running_engines


async def caller(container: Container, email: str) -> Caller:
    try:
        user = await container.administration().user(email)
    except UserNotFound:
        user = await container.accounts().register(Registration(email=email, password=secrets.token_hex()))
    return Caller(user.id, session_id="inbox")


async def work(container: Container, email: str, folder: Path) -> None:
    owner = await caller(container, email)
    for file in sorted(folder.iterdir()):  # noqa: ASYNC240 - nobody else waits for this process
        try:
            made = await container.imports().import_file(UploadedFile(file.read_bytes(), file.name), by=owner)
            print(f"{file.name}: {len(made.activities)} activities")
        except Refusal as refusal:
            print(f"{file.name}: {refusal}")
        file.unlink()


async def main() -> None:
    with with_running_engines(settings_from(os.environ)) as settings:
        async with running(settings) as container:
            await work(container, sys.argv[1], Path(sys.argv[2]))


if __name__ == "__main__":
    asyncio.run(main())
