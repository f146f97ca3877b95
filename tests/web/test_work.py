"""Long work: progress, cancel, the limit of time, the queue, and a reader who leaves."""

import asyncio
import json
import threading
import time

import pytest
import torch
from torch import nn

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.web.work import MOST_WAITING, Answer, BusyError, CancelledError, Desk, Work, watched


def told(lines):
    return [json.loads(line.split(b"\n", 1)[0]) for line in lines]


async def all_of(stream):
    return [line async for line in stream]


def test_progress_is_told_then_the_answer_with_its_bytes():
    def task(work):
        for k in range(5):
            work.step(k / 4, f"part {k}")
            time.sleep(0.1)
        return Answer({"n": 1}, (b"abc", b"\n\n"))

    lines = asyncio.run(all_of(Desk().take(task)))
    *before, last = told(lines)
    shares = [line["share"] for line in before if line.get("share") is not None]
    assert shares == sorted(shares)
    assert len(shares) > 1
    assert before[-1]["said"].startswith("part")
    assert last == {"answer": {"n": 1}, "bytes": 5}
    assert lines[-1].endswith(b"\nabc\n\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InvalidInputError("x: must be 1, got 2"), "x: must be 1, got 2"),
        (DivergedError("left the numbers"), "left the numbers"),
        (
            RuntimeError("/secret/place"),
            "explorer: the work failed (RuntimeError). Please report how you got here.",
        ),
    ],
)
def test_a_failure_is_told_in_words_without_places(error, words):
    def task(work):
        raise error

    assert told(asyncio.run(all_of(Desk().take(task))))[-1] == {"error": words}


def test_work_beyond_its_time_stops_with_rule_and_remedy():
    def task(work):
        while True:
            work.step()
            time.sleep(0.01)

    last = told(asyncio.run(all_of(Desk(seconds=0.2).take(task))))[-1]
    assert last == {
        "error": "explorer: work must end within 0.2 s, got more. Use fewer samples, steps or noise levels."
    }


def test_a_reader_who_leaves_ends_the_work_and_frees_the_next():
    ended = threading.Event()

    def endless(work):
        try:
            while True:
                work.step()
                time.sleep(0.01)
        except CancelledError:
            ended.set()
            raise

    async def leave_and_ask_again():
        desk = Desk()
        stream = desk.take(endless)
        await anext(stream)
        await stream.aclose()
        return await all_of(desk.take(lambda work: Answer({"ok": True})))

    assert told(asyncio.run(leave_and_ask_again()))[-1]["answer"] == {"ok": True}
    assert ended.is_set()


def test_too_much_waiting_work_is_refused_and_the_rest_is_done_in_turn():
    done = []

    async def crowd():
        desk, free = Desk(), threading.Event()

        def task(number):
            def run(work):
                free.wait(10)
                done.append(number)
                return Answer({"number": number})

            return run

        streams = [desk.take(task(k)) for k in range(MOST_WAITING + 1)]
        first = [await anext(stream) for stream in streams]
        with pytest.raises(BusyError):
            desk.take(task(99))
        free.set()
        rest = [await all_of(stream) for stream in streams]
        return told(first), [told(lines)[-1] for lines in rest], desk

    first, last, desk = asyncio.run(crowd())
    assert first[-1] == {"waits": True}
    assert done == list(range(MOST_WAITING + 1))
    assert [line["answer"]["number"] for line in last] == done
    desk.take(lambda work: Answer({}))  # there is room again


def test_answers_that_nobody_reads_take_no_place():
    desk = Desk()
    for _ in range(3 * MOST_WAITING):
        asyncio.run(desk.take(lambda work: Answer({})).aclose())
    assert told(asyncio.run(all_of(desk.take(lambda work: Answer({})))))[-1]["answer"] == {}


def test_calls_of_a_network_are_progress_and_an_end():
    net, work = nn.Linear(1, 1), Work()
    with watched(work, [net], calls=4):
        net(torch.zeros(1, 1))
        assert work.share == 0.25
        work.cancel()
        with pytest.raises(CancelledError):
            net(torch.zeros(1, 1))
    net(torch.zeros(1, 1))
    assert len(net._forward_pre_hooks) == 0
