"""The service as an operator runs it: real processes, real signals, data that survives them."""

import asyncio
import os
import re
import resource
import signal
import stat
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from click.testing import CliRunner

from fitness.adapters.embedded.engines import running_urls
from fitness.entrypoints.cli import main
from fitness.entrypoints.listening import MOST_CONNECTIONS, SPARE_DESCRIPTORS
from tests.files import A_TRACK, FitFile
from tests.harness.api import MEMORY, NOWHERE_POSTGRES, NOWHERE_REDIS, PASSWORD, Person, activity_body
from tests.harness.databases import as_service
from tests.harness.service import Service, command, log_says, mistake
from tests.patience import PATIENCE_S


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    service = Service(folder / "data")
    yield service
    end(service)


@pytest.fixture
def neighbour(folder: Path) -> Iterator[Service]:
    service = Service(folder / "neighbour")
    yield service
    end(service)


def end(service: Service) -> None:
    if service.process is not None and service.process.poll() is None:
        service.stop()
    service.wait_until_engines_are_gone()


async def log_in(client: httpx.AsyncClient, email: str = "ann@example.org") -> Person:
    body = {"email": email, "password": PASSWORD}
    await client.post("/api/v1/auth/register", json=body)
    login = await client.post("/api/v1/auth/login", json=body)
    assert login.status_code == 200, login.text
    return Person(client, 0, email, login.json()["access_token"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_cleanly_and_the_next_start_has_everything(service: Service, how: signal.Signals):
    service.start()
    assert len(service.engines()) >= 2
    async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as client:
        ann = await log_in(client)
        one = await ann.record(title="kept")
    assert service.stop(how) == 0
    assert service.engines() == []
    log = service.data_dir / "log" / "postgres.log"
    before = log.stat().st_size
    made = (service.data_dir / "postgres" / "PG_VERSION").stat()
    service.start()
    # Quick: nothing had to be made again, and nothing to be recovered.
    found = (service.data_dir / "postgres" / "PG_VERSION").stat()
    assert (found.st_ino, found.st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert b"database system was shut down at" in log.read_bytes()[before:]
    async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as client:
        # The token, too, is good across restarts: the key that signs is kept.
        again = Person(client, ann.id, ann.email, ann.token)
        assert (await again.get(f"/activities/{one['id']}")).json() == one


async def test_requests_in_flight_are_finished_when_it_stops(service: Service):
    """In flight is what the service has admitted and the client has not yet sent to its end."""
    service.environment |= {"FITNESS_RATE_LIMIT_SCALE": "100"}
    service.start()
    assert service.process is not None
    stopping = asyncio.Event()
    async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as client:
        ann = await log_in(client)
        uploads = [asyncio.ensure_future(slow_upload(ann, on_day(number + 1), stopping)) for number in range(6)]
        await admitted(service, "import", 6)
        service.process.send_signal(signal.SIGTERM)
        await turned_away(service)
        stopping.set()
        answers = await asyncio.gather(*uploads)
    assert {answer.status_code for answer in answers} == {201}
    assert service.process.wait(PATIENCE_S) == 0


def on_day(day: int) -> bytes:
    return A_TRACK.replace(b"2026-05-01", b"2026-05-%02d" % day)


async def admitted(service: Service, policy: str, times: int) -> None:
    """Returns once so many requests have been admitted under the policy, as /metrics counts them.

    A limiter that is late admits them unjudged.
    """
    line = rf'^rate_limit_decisions_total{{.*outcome="(?:allowed|unavailable)",policy="{policy}"}} (\d+)\.0$'
    give_up_s = time.monotonic() + PATIENCE_S
    while sum(map(int, re.findall(line, service.scrape(), re.MULTILINE))) < times:
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.02)


async def turned_away(service: Service) -> None:
    """Returns once the service takes no new connections."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        except OSError:
            return
        writer.close()
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.02)


async def slow_upload(person: Person, content: bytes, go_on: asyncio.Event) -> httpx.Response:
    """An import whose last byte is sent once `go_on` is set."""
    form = httpx.Request("POST", "/", files={"file": ("recording", content)})
    body = form.read()

    async def parts() -> AsyncIterator[bytes]:
        yield body[:-1]
        await go_on.wait()
        yield body[-1:]

    headers = {name: form.headers[name] for name in ("Content-Type", "Content-Length")}
    return await person.post("/activities/import", content=parts(), headers=headers)


async def test_kill_9_leaves_no_engine_and_every_acknowledged_write_is_there_after(service: Service):
    acknowledged: dict[int, str] = {}
    under_way = asyncio.Event()

    async def write(person: Person, name: str, enough: int) -> None:
        for number in range(10_000):
            answer = await person.post("/activities", json=activity_body(title=f"{name} {number}"))
            if answer.status_code == 201:
                acknowledged[answer.json()["id"]] = answer.json()["title"]
            if len(acknowledged) >= enough:
                under_way.set()

    service.start()
    for round_ in range(3):
        async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as client:
            ann = await log_in(client)
            under_way.clear()
            enough = len(acknowledged) + 150
            writers = [asyncio.ensure_future(write(ann, f"{round_}-{n}", enough)) for n in range(8)]
            await under_way.wait()
            service.kill_everything()
            ended = await asyncio.gather(*writers, return_exceptions=True)
            assert all(isinstance(error, httpx.TransportError) for error in ended), ended
        service.wait_until_engines_are_gone()
        service.start()
    async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as client:
        ann = await log_in(client)
        kept: dict[int, str] = {}
        path = "/activities?limit=100"
        while path:
            page = (await ann.get(path)).json()
            kept |= {one["id"]: one["title"] for one in page["items"]}
            path = f"/activities?limit=100&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert len(acknowledged) >= 450
    assert acknowledged.items() <= kept.items()


async def test_kill_9_of_the_parent_alone_takes_workers_and_engines_along(service: Service):
    service.start()
    assert service.process is not None
    workers = service.workers()
    assert workers
    service.process.kill()
    service.process.wait(PATIENCE_S)
    service.wait_until_engines_are_gone()
    give_up_s = time.monotonic() + PATIENCE_S
    while any("fitness" in command(pid) for pid in workers):
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.05)


async def ready(client: httpx.AsyncClient) -> None:
    """Returns once the service says so: on a busy machine a store may be late for a moment."""
    give_up_s, answer = time.monotonic() + PATIENCE_S, ""
    while answer != "ready":
        assert time.monotonic() < give_up_s, answer
        with suppress(httpx.TransportError):
            answer = (await client.get("/health/ready")).json()["status"]
        await asyncio.sleep(0.1)


async def test_a_worker_that_dies_is_replaced(service: Service):
    service.start()
    service.wait_until_logged("fitness is on")
    before = service.workers()
    assert len(before) == 2  # one that serves, and one that works off jobs
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as client:
        await ready(client)
    give_up_s = time.monotonic() + PATIENCE_S
    while len(service.workers()) < 2:
        assert time.monotonic() < give_up_s, service.log()
        await asyncio.sleep(0.05)
    assert {*service.workers()}.isdisjoint(before)


async def test_many_clients_of_several_workers_on_one_cold_copy_cost_one_load_a_worker(service: Service):
    service.environment |= {"FITNESS_WORKERS": "4"}
    service.start()
    urls = running_urls(service.data_dir)
    assert urls is not None
    log = service.data_dir / "log" / "postgres.log"
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=service.url, limits=limits, timeout=PATIENCE_S) as client:
        ann = await log_in(client)
        one = await ann.record()
        # Connections first, so that all ask at the same time; twice, so that every worker has prepared its statement.
        for _ in range(2):
            await asyncio.gather(*(ann.get("/activities?page=2") for _ in range(200)))
        with psycopg.connect(urls.owner_database_url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")
        await asyncio.to_thread(log_says, log, 'parameter "log_statement" changed')
        redis.Redis.from_url(urls.redis_url).flushall()
        before = log.stat().st_size
        answers = await asyncio.gather(*(ann.get(f"/activities/{one['id']}") for _ in range(200)))
    assert {answer.json()["id"] for answer in answers} == {one["id"]}
    origins = Counter(answer.headers["x-cache"] for answer in answers)
    assert origins.keys() <= {"HIT", "MISS", "BYPASS"}
    said = log.read_bytes()[before:].decode()
    loads = len(re.findall(r"FROM live_activities\s+WHERE id = ", said))
    assert 1 <= loads <= 4 + origins["BYPASS"]  # a Redis that is late is not waited for


def test_without_its_engine_the_service_ends_and_says_so(service: Service):
    service.start()
    # Not by the command line: a process that PostgreSQL has just forked still has that of its parent.
    postgres = int((service.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postgres, signal.SIGKILL)
    assert service.process is not None
    assert service.process.wait(PATIENCE_S) == 1
    assert "PostgreSQL ended unexpectedly" in service.log()
    service.wait_until_engines_are_gone()
    service.start()


async def test_two_instances_run_side_by_side_and_know_nothing_of_each_other(service: Service, neighbour: Service):
    service.start()
    neighbour.start()
    async with (
        httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as here,
        httpx.AsyncClient(base_url=neighbour.url, timeout=PATIENCE_S) as there,
    ):
        ann = await log_in(here)
        one = await ann.record()
        assert (await log_in(there, "bob@example.org")).token
        stranger = Person(there, 0, ann.email, ann.token)
        assert (await stranger.get(f"/activities/{one['id']}")).status_code == 401
        assert neighbour.stop() == 0
        await ready(here)


def test_a_second_service_on_the_same_folder_or_port_says_what_to_change(service: Service, neighbour: Service):
    service.start()
    same_folder = neighbour.run("serve", FITNESS_DATA_DIR=str(service.data_dir))
    assert same_folder.returncode == 1
    assert "already running" in same_folder.stderr
    assert "FITNESS_DATA_DIR" in same_folder.stderr
    same_port = neighbour.run("serve", FITNESS_PORT=str(service.port))
    assert same_port.returncode == 1
    assert "FITNESS_PORT" in same_port.stderr
    assert neighbour.engines() == []


def test_the_temporary_folder_of_a_killed_service_is_removed_by_the_next_one(
    service: Service, neighbour: Service, folder: Path
):
    temporary = folder / "tmp"
    temporary.mkdir()
    for one in (service, neighbour):
        one.environment |= {"FITNESS_DATABASE_URL": MEMORY, "FITNESS_REDIS_URL": MEMORY, "TMPDIR": str(temporary)}
    service.start()
    (left,) = temporary.glob("fitness-metrics-*")
    service.kill_everything()
    assert left.exists()
    neighbour.start()
    (used,) = temporary.glob("fitness-metrics-*")
    assert used != left
    service.start()
    assert len({*temporary.glob("fitness-metrics-*")} - {used}) == 1
    assert used.exists()
    for one in (service, neighbour):
        assert one.stop() == 0
    assert list(temporary.glob("fitness-metrics-*")) == []


def test_a_folder_too_deep_for_a_socket_works_all_the_same(folder: Path):
    deep = folder / ("d" * 100) / ("e" * 100)
    deep.parent.mkdir()
    service = Service(deep)
    try:
        service.start()
    finally:
        end(service)


def test_the_start_says_how_many_connections_the_limit_of_file_descriptors_makes(service: Service):
    service.environment |= {"FITNESS_DATABASE_URL": "memory:", "FITNESS_REDIS_URL": "memory:"}
    raised, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(raised, 1_024), most))  # is the service's, too
    try:
        service.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, most))
    connections = (
        MOST_CONNECTIONS if most == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, most - SPARE_DESCRIPTORS)
    )
    service.wait_until_logged(f"each worker takes up to {connections} connections")


def test_the_signing_key_is_for_its_owner_alone(service: Service):
    service.start()
    key = service.data_dir / "secret_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [len(one) for one in key.read_text().split()] == [64]


def test_a_bad_setting_is_refused_before_anything_starts(service: Service):
    refused = service.run("serve", FITNESS_PORT="eighty")
    assert refused.returncode == 1
    assert "FITNESS_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert service.engines() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("WORKERS", "-1"),
        ("TRASH_DAYS", "0"),
        ("LOG_FORMAT", "xml"),
        ("RATE_LIMIT_SCALE", "nan"),
        ("SECRET_KEYS", "short"),
        ("TRUSTED_PROXIES", "everybody"),
        ("DATABASE_URL", "mysql://x"),
        ("PROT", "8000"),
    ],
)
def test_a_bad_setting_is_refused_by_name(folder: Path, name: str, value: str):
    # In this process; and a command that would end by itself, if it were not refused.
    environment = {"FITNESS_DATA_DIR": str(folder / "data"), f"FITNESS_{name}": value}
    refused = CliRunner().invoke(main, ["migrate", "status"], env=environment)
    assert refused.exit_code == 1
    assert f"FITNESS_{name}" in refused.stderr
    assert isinstance(refused.exception, SystemExit)


class TestCommands:
    @pytest.mark.parametrize("running", [True, False])
    def test_accounts_and_imports_work_beside_the_service_and_without_it(
        self, service: Service, folder: Path, running: bool
    ):
        if running:
            service.start()
        created = service.run("users", "create", "Ann@example.org", "--admin", "--password", PASSWORD)
        assert created.returncode == 0, created.stderr
        assert "ann@example.org\tadmin\tfree" in created.stdout
        assert "last admin" in service.run("users", "demote", "ann@example.org").stderr
        service.run("users", "create", "bob@example.org", "--admin", "--password", PASSWORD)
        assert "user\tfree" in service.run("users", "demote", "ann@example.org").stdout
        assert "user\tpremium" in service.run("users", "set-tier", "ann@example.org", "premium").stdout
        assert service.run("stats", "rebuild").stdout == "the totals are what the activities add up to\n"
        assert "admin\tpremium" in service.run("users", "promote", "ann@example.org").stdout
        assert service.run("users", "list").stdout.count("\n") == 2

        run, loop, broken = folder / "run.fit", folder / "loop.gpx", folder / "broken.fit"
        run.write_bytes(FitFile().session().content())
        loop.write_bytes(on_day(2))
        broken.write_bytes(FitFile().session().content()[:-2] + b"\0\0")  # a wrong checksum
        imported = service.run("import", run, loop, broken, run, "--user", "ann@example.org")
        lines = imported.stdout.splitlines()
        assert imported.returncode == 1
        assert re.fullmatch(rf"{run}: imported, activity \d+ \(run, 30 min\)", lines[0])
        assert lines[2].startswith(f"{broken}: refused, the file is damaged")
        assert lines[3].startswith(f"{run}: skipped, this was recorded already, as activity")
        assert lines[4] == "2 imported, 1 skipped, 1 refused"
        loop.write_bytes(A_TRACK)
        again = service.run("import", loop, "--user", "ann@example.org", "--on-duplicate", "skip")
        assert re.fullmatch(rf"{loop}: skipped, the same as activity \d+", again.stdout.splitlines()[0])
        for options in (["--dry-run"], ["--user", "ann@example.org"]):
            summary = "2 files read, 0 activities {}, 0 edited fields kept, 0 files left as they are\n"
            change = "would change" if options == ["--dry-run"] else "changed"
            assert service.run("reimport", *options).stdout == summary.format(change)
        assert service.run("sweep").stdout == "0 files deleted\n"
        assert len([*(service.data_dir / "objects").glob("*/*")]) == 2

    def test_the_program_shows_its_help_too(self, service: Service):
        helped = service.run("--help")
        assert (helped.returncode, helped.stderr) == (0, "")
        assert helped.stdout.startswith("Usage: fitness")

    def test_mistakes_are_one_line_without_a_traceback(self, service: Service):
        unknown = service.run("users", "promote", "nobody@example.org")
        assert mistake(unknown) == (1, "Error: user nobody@example.org does not exist\n")
        weak = service.run("users", "create", "ann@example.org", "--password", "short")
        assert mistake(weak) == (1, "Error: password: must be at least 8 characters long\n")

    def test_migrations_go_up_and_down_and_say_so(self, service: Service):
        assert "001_create_users  missing" in service.run("migrate", "status").stdout
        assert "applied 006_add_soft_deletes" in service.run("migrate", "up").stdout
        assert service.run("migrate", "up").stdout == "nothing to apply\n"
        assert "missing" not in service.run("migrate", "status").stdout
        last = service.run("migrate", "down").stdout
        assert re.fullmatch(r"took back \d{3}_\w+\n", last)
        assert "missing" in service.run("migrate", "status").stdout

    def test_with_urls_set_nothing_embedded_starts_and_it_becomes_ready_when_the_schema_is_migrated(
        self, service: Service, empty_database_url: str, folder: Path
    ):
        urls = {
            "FITNESS_DATABASE_URL": as_service(empty_database_url),
            "FITNESS_REDIS_URL": "redis://127.0.0.1:1",
            "FITNESS_SECRET_KEYS": sha256(b"of a test").hexdigest(),
        }
        owner_url = empty_database_url
        service.environment |= urls
        service.start("unavailable")
        assert "the database lacks 001_create_users" in service.log()
        assert service.run("migrate", "up", FITNESS_DATABASE_URL=owner_url).returncode == 0
        unready = httpx.get(f"{service.url}/health/ready", timeout=PATIENCE_S)
        assert unready.status_code == 503
        assert "may not read" in unready.text
        assert "may not read" in service.run("doctor").stdout
        assert service.run("migrate", "up", FITNESS_MIGRATE_DATABASE_URL=owner_url).stdout == "nothing to apply\n"
        assert httpx.get(f"{service.url}/health/ready", timeout=PATIENCE_S).json()["status"] == "degraded"
        assert [one.name for one in service.data_dir.iterdir()] == ["objects"]  # the doctor stored a file there

    def test_without_any_store_it_starts_and_says_so(self, service: Service):
        service.environment |= {
            "FITNESS_DATABASE_URL": NOWHERE_POSTGRES,
            "FITNESS_REDIS_URL": NOWHERE_REDIS,
            "FITNESS_SECRET_KEYS": sha256(b"of a test").hexdigest(),
        }
        service.start("unavailable")
        assert service.stop() == 0

    def test_what_commands_do_is_counted_until_the_next_start(self, service: Service, folder: Path):
        def counted(worker: str) -> list[str]:
            """Of activities and of accounts."""
            scrape = service.scrape()
            return re.findall(
                rf'^(?:activities_created|users_registered)_total{{worker="{worker}"}} (.*)$', scrape, re.M
            )

        service.start()
        run = folder / "run.fit"
        run.write_bytes(FitFile().session().content())
        for name in ("ann", "bob"):
            assert service.run("users", "create", f"{name}@example.org", "--password", PASSWORD).returncode == 0
        assert service.run("import", run, run, "--user", "ann@example.org").returncode == 0
        assert counted("cli") == ["1.0", "2.0"]
        assert counted("0") == ["0.0", "0.0"]
        service.stop()
        service.start()
        assert counted("cli") == []

    async def test_in_memory_it_serves_as_ever_and_says_that_nothing_is_kept(self, service: Service):
        service.environment |= {"FITNESS_DATABASE_URL": MEMORY, "FITNESS_REDIS_URL": MEMORY}
        service.start()
        assert "everything is kept in memory" in service.log()
        async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_S) as client:
            ann = await log_in(client)
            one = await ann.record(title="kept for now")
            assert (await ann.upload(A_TRACK)).status_code == 201
            answers = [await ann.get(f"/activities/{one['id']}") for _ in range(2)]
            assert [answer.headers["x-cache"] for answer in answers] == ["HIT", "HIT"]  # cached when it was created
            scrape = service.scrape()
        assert "db_pool_connections{" not in scrape
        assert "cache_memory_bytes{" not in scrape
        assert 'activities_created_total{worker="0"} 2.0' in scrape
        assert service.engines() == []
        assert not service.data_dir.exists()
        assert "memory: everything is kept in memory" in service.run("doctor").stdout
        assert service.run("migrate", "status").stdout == "nothing to migrate\n"
        assert service.run("migrate", "up").stdout == "nothing to apply\n"
        refused = service.run("users", "create", "ann@example.org", "--password", PASSWORD)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "keep none of it" in refused.stderr
        assert service.stop() == 0

    def test_the_doctor_finds_the_embedded_engines_well_and_says_what_else_is_wrong(self, service: Service):
        service.start()
        well = service.run("doctor")
        assert (well.returncode, well.stderr) == (0, "")
        assert "good      cache Redis: maxmemory-policy is allkeys-lru" in well.stdout
        assert "good      role: it connects as fitness_service, which owns nothing" in well.stdout
        assert "good      audit log: 0 entries, none changed or missing; the last is 0:" in well.stdout
        assert "good      data folder: nobody else can read" in well.stdout
        assert "'--audit-head': must be a position and a hash" in service.run("doctor", "--audit-head", "7").stderr
        noted = service.run("doctor", "--audit-head", "1:" + "00" * 32)
        assert "wrong     audit log: the last entry is at position 0, and 1:00" in noted.stdout
        nowhere = service.run(
            "doctor",
            FITNESS_DATABASE_URL=NOWHERE_POSTGRES,
            FITNESS_REDIS_URL=NOWHERE_REDIS,
            FITNESS_SECRET_KEYS=sha256(b"of a test").hexdigest(),
        )
        assert (nowhere.returncode, nowhere.stderr) == (1, "Error: 2 things are wrong\n")
        assert "wrong     PostgreSQL: does not answer" in nowhere.stdout

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["serve"],
            ["doctor"],
            ["migrate"],
            ["migrate", "up"],
            ["migrate", "down"],
            ["import"],
            ["reimport"],
            ["sweep"],
            ["users"],
            ["users", "create"],
            ["stats"],
            ["stats", "rebuild"],
        ],
    )
    def test_help_is_everywhere(self, arguments: list[str]):
        helped = CliRunner().invoke(main, [*arguments, "--help"], prog_name="fitness")
        assert helped.exit_code == 0
        assert helped.stdout.startswith("Usage: fitness")
