"""The line to Redis, on real servers that hang, end and come back."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError, ResponseError

from fitness.adapters.redis import line as line_module
from fitness.adapters.redis.client import PATIENT_DEADLINE_S, AnyLine, line_to
from fitness.adapters.redis.line import DEADLINE_S, LineFull, RedisLine
from fitness.adapters.redis.questions import Answer
from tests.harness.api import PATIENT_S
from tests.harness.servers import ValkeyServer, answered
from tests.patience import PATIENCE_S


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[ValkeyServer]:
    server = ValkeyServer(folder / "valkey")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def own(server: ValkeyServer) -> AsyncIterator[RedisLine]:
    """Its deadline is longer than any server is late."""
    async with connected(server, PATIENT_S) as line:
        yield line


@pytest.fixture
async def prompt(server: ValkeyServer) -> AsyncIterator[RedisLine]:
    """With the service's deadline."""
    async with connected(server, DEADLINE_S) as line:
        yield line


@asynccontextmanager
async def connected(server: ValkeyServer, deadline_s: float) -> AsyncIterator[RedisLine]:
    line = line_to(server.url, deadline_s)
    assert isinstance(line, RedisLine)
    await answered(line)
    yield line
    await line.aclose()


async def outcome(line: AnyLine, *command: str | int) -> str:
    try:
        return str((await line.ask("a", command)).replies)
    except RedisError as error:
        return type(error).__name__


async def answered_again(line: RedisLine) -> Answer:
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await line.ask("a", ("GET", "a"))
        except RedisError:
            assert time.monotonic() < give_up_s
            await asyncio.sleep(0.01)


async def test_answers_come_to_whoever_asked_however_many_ask_at_once(own: RedisLine, server: ValkeyServer):
    connections = int(str(server.do("INFO", "clients")).count("connected_clients"))
    assert connections == 1

    async def own_number(number: int) -> bool:
        (kept, read, length) = (
            await own.ask(
                f"k{number}", ("SET", f"k{number}", f"v{number}"), ("GET", f"k{number}"), ("STRLEN", f"k{number}")
            )
        ).replies
        return (kept, read, length) == (b"OK", f"v{number}".encode(), len(f"v{number}"))

    assert all(await asyncio.gather(*(own_number(number) for number in range(5_000))))
    clients = str(server.do("CLIENT", "LIST"))
    assert clients.count("lib-name") <= 2  # the line, and who asks for the list


async def test_an_error_is_the_answer_of_the_question_that_caused_it_alone(own: RedisLine):
    questions = [own.ask("a", ("SET", "a", "1")), own.ask("a", ("LPUSH", "a", "x")), own.ask("a", ("GET", "a"))]
    right, wrong, after = await asyncio.gather(*questions, return_exceptions=True)
    assert isinstance(right, Answer)
    assert isinstance(wrong, ResponseError)
    assert isinstance(after, Answer)
    assert after.replies == [b"1"]


async def test_every_answer_names_the_server_that_gave_it(own: RedisLine, server: ValkeyServer):
    answer = await own.ask("a", ("PING",))
    assert f"run_id:{answer.run_id}" in str(server.do("INFO", "server")) or answer.run_id in str(
        server.do("INFO", "server")
    )
    assert own.run_id == answer.run_id
    server.kill()
    server.start()
    assert (await answered_again(own)).run_id not in ("", answer.run_id)


async def test_a_question_whose_asker_left_takes_nobody_elses_answer(own: RedisLine):
    await own.ask("a", ("SET", "a", "1"))
    for delay_s in (0, 0.0001, 0.001):
        leaving = asyncio.ensure_future(outcome(own, "INCR", "n"))
        await asyncio.sleep(delay_s)
        leaving.cancel()
        assert (await own.ask("a", ("GET", "a"))).replies == [b"1"]


async def test_no_answer_of_a_connection_that_was_given_up_is_taken_for_one_of_the_next(own: RedisLine):
    wrong = answers = 0

    async def asker(number: int) -> None:
        nonlocal wrong, answers
        for turn in range(100):
            asked = f"{number}:{turn}"
            with suppress(RedisError):
                said = (await own.ask("", ("ECHO", asked), ("ECHO", "x" * 2_000))).replies
                answers += 1
                wrong += said[0] != asked.encode()
            await asyncio.sleep(0.001 * (number % 3))

    asking = [asyncio.create_task(asker(number)) for number in range(20)]
    cuts = 0
    while not all(task.done() for task in asking):
        await asyncio.sleep(0.003)
        if answers >= 10 * cuts:  # however slow the server is, it has answered some in between
            own.reconnect()
            cuts += 1
    await asyncio.gather(*asking)
    assert wrong == 0
    assert cuts > 10


async def test_a_server_that_hangs_costs_those_who_wait_one_deadline_and_the_others_nothing(
    prompt: RedisLine, server: ValkeyServer
):
    server.freeze()
    waiting = [asyncio.ensure_future(outcome(prompt, "GET", "a")) for _ in range(500)]
    assert await waiting[0] == "TimeoutError"
    await turns()
    assert {task.result() for task in waiting} == {"TimeoutError"}
    await outcome(prompt, "GET", "a")  # may find out that no connection can be made
    for _ in range(500):
        asked = asyncio.ensure_future(outcome(prompt, "GET", "a"))
        await turns()
        assert "[" not in asked.result()
    server.thaw()
    await answered_again(prompt)


async def turns() -> None:
    """What is due now is done; whoever still waits then waits for a time or an answer."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_whoever_has_nothing_in_the_answers_place_can_wait_longer_for_it(server: ValkeyServer):
    assert PATIENT_DEADLINE_S > 2 * DEADLINE_S
    patient = line_to(server.url, PATIENT_S)
    await answered(patient)
    server.freeze()
    question = asyncio.ensure_future(outcome(patient, "PING"))
    await asyncio.sleep(2 * DEADLINE_S)
    assert not question.done()
    server.thaw()
    assert await question == "[b'PONG']"
    await patient.aclose()


async def test_a_server_that_ends_is_noticed_at_once_and_found_again(own: RedisLine, server: ValkeyServer):
    for _ in range(3):
        server.kill()
        assert await outcome(own, "GET", "a") == "ConnectionError"  # and no deadline was waited for
        server.start()
        await answered_again(own)


async def test_a_connection_that_is_cut_is_replaced_before_the_next_question_fails(
    own: RedisLine, server: ValkeyServer
):
    for _ in range(20):
        server.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        while own.run_id is not None:  # noqa: ASYNC110 - the line has no event for it
            await asyncio.sleep(0)
        assert await outcome(own, "PING") == "[b'PONG']"


async def test_an_event_loop_that_stands_still_is_no_outage(prompt: RedisLine, server: ValkeyServer):
    just_then = [DEADLINE_S + 0.0001 * number for number in range(40)]  # the loop is free as the deadline comes
    for stall_s in (*just_then, 0.2, 0.5):
        question = asyncio.ensure_future(outcome(prompt, "PING"))
        for _ in range(3):  # until it is written; the answer takes longer
            await asyncio.sleep(0)
        until_s = time.monotonic() + stall_s
        server.do("PING")  # the server has answered by now, also where it has no core for a while
        while time.monotonic() < until_s:  # the loop stands still, and is not late to go on as after a sleep
            pass
        assert await question == "[b'PONG']"


async def test_a_server_that_answers_one_question_after_the_other_is_waited_for(server: ValkeyServer):
    # All together take several deadlines. Each is long, since a server answers together what it reads at once.
    slow = ("EVAL", "for _ = 1, 400000 do end return 'done'", 0, "x" * 16_000)
    questions, took_s = 500, 0.0
    async with connected(server, 0.4) as line:
        while took_s <= 2 * 0.4:
            began_s = time.monotonic()
            outcomes = await asyncio.gather(*(outcome(line, *slow) for _ in range(questions)))
            assert set(outcomes) == {"[b'done']"}
            took_s = time.monotonic() - began_s
            questions *= 2


async def test_a_server_that_takes_its_time_within_the_deadline_is_waited_for(own: RedisLine, server: ValkeyServer):
    slow = ("EVAL", "for _ = 1, 500000 do end return 'done'", 0)  # some milliseconds
    assert await outcome(own, *slow) == "[b'done']"


async def test_too_many_questions_are_refused_and_say_so(own: RedisLine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(line_module, "MAX_WAITING", 10)
    questions = [own.ask("a", ("PING",)) for _ in range(10)]
    with pytest.raises(LineFull):
        own.ask("a", ("PING",))
    await asyncio.gather(*questions)
    await own.ask("a", ("PING",))


async def test_a_replica_is_asked_nothing_more_once_it_refused_a_write(own: RedisLine, server: ValkeyServer):
    server.do("REPLICAOF", "127.0.0.1", "1")
    before = own.run_id
    assert await outcome(own, "SET", "a", "1") == "ReadOnlyError"
    server.do("REPLICAOF", "NO", "ONE")
    assert (await answered_again(own)).run_id == before  # after it looked for the primary again


async def test_a_cancellation_is_heard_at_any_moment_also_while_it_connects(server: ValkeyServer):
    heard = 0
    for number in range(60):
        line = line_to(server.url)
        task = asyncio.ensure_future(outcome(line, "PING"))
        await asyncio.sleep(0.0001 * number)
        ended = not task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE_S)
        heard += task.cancelled() or ended
        await line.aclose()
    assert heard == 60


async def test_a_line_that_is_closed_while_it_connects_leaves_no_connection(server: ValkeyServer):
    """However far it has come: to a server that accepts connections and says nothing."""
    server.freeze()
    before = asyncio.all_tasks()
    for number in range(40):
        line = line_to(server.url)
        assert isinstance(line, RedisLine)
        asking = asyncio.ensure_future(line.ask("a", ("PING",)))
        await asyncio.sleep(number * 0.0005)
        await line.aclose()
        with suppress(RedisError):
            await asking
        # Nothing of it goes on, so that there is nobody who could still connect.
        assert asyncio.all_tasks() == before
    server.thaw()


async def test_a_line_may_be_closed_at_any_step_of_an_attempt_that_fails():
    loop, unseen = asyncio.get_running_loop(), list[str]()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: unseen.append(context["message"]))
    for steps in range(12):
        line = line_to("redis://127.0.0.1:1")
        assert isinstance(line, RedisLine)
        line.ask("a", ("PING",)).cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        await line.aclose()
        del line
        gc.collect()
    loop.set_exception_handler(handler)
    assert unseen == []
