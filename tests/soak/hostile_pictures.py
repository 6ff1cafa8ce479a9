"""Measures what pictures that were made to do harm cost a running service.

    python -m tests.soak.hostile_pictures

Each is uploaded alone, under a name with `../` in it. The answer has to be the one that tests.pictures states, and all
processes of the service together may take at most 150 MiB more than before the first upload. Exits with 1 if any of it
fails.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from ops.local.client import logged_in
from ops.local.service import Instance, engines, own_folder, serving

from fitness.domain.model.photos import MAX_PHOTO_BYTES
from tests.pictures import ACCEPTED, REFUSED, a_jpeg
from tests.soak.hostile_files import memory_mib

MOST_MIB = 150
LOOK_S = 0.005

Expected = tuple[Callable[[], bytes], int, str]


def pictures() -> dict[str, Expected]:
    accepted: dict[str, Expected] = {name: (make, 201, "") for name, make in ACCEPTED.items()}
    too_large: Expected = (lambda: a_jpeg().ljust(MAX_PHOTO_BYTES + 1, b"\0"), 413, "photo_too_large")
    return REFUSED | accepted | {"JPEG of 10 MB and a byte": too_large}


async def uploaded(instance: Instance) -> list[str]:
    token = await logged_in(instance.port, "pictures@example.org")
    base, headers = f"http://127.0.0.1:{instance.port}/api/v1", {"Authorization": f"Bearer {token}"}
    wrong = []
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
        new = {"activity_type": "run", "activity_date": "2026-11-01T08:00:00Z", "duration_minutes": 30}
        photos = f"/activities/{(await client.post('/activities', json=new)).json()['id']}/photos"
        await client.post(photos, files={"file": ("a", a_jpeg())})  # starts the process that reads pictures
        idle_mib = await asyncio.to_thread(memory_mib, instance.pids())
        for name, (make, status, code) in pictures().items():
            content = make()
            began_s, most_mib = time.monotonic(), 0.0
            upload = asyncio.ensure_future(client.post(photos, files={"file": ("../../etc/passwd", content)}))
            while not upload.done():
                most_mib = max(most_mib, await asyncio.to_thread(memory_mib, instance.pids()))
                await asyncio.wait({upload}, timeout=LOOK_S)
            answer, rise_mib = await upload, most_mib - idle_mib
            found = (answer.status_code, answer.json().get("code", ""))
            took_s = time.monotonic() - began_s
            print(f"{name:40} {len(content):>10} bytes {took_s:5.2f} s {rise_mib:4.0f} MiB  {found}", flush=True)
            if found != (status, code) or rise_mib > MOST_MIB:
                wrong.append(f"{name}: {found}, {rise_mib:.0f} MiB")
    return wrong


def main() -> None:
    with own_folder() as folder, engines() as urls:
        objects = Path(folder, "objects").as_uri()
        with serving(urls, RATE_LIMIT_SCALE="0", OBJECTS_URL=objects) as instance:
            wrong = asyncio.run(uploaded(instance))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
