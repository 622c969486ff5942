"""The queue between the server's thread and the model's."""

from __future__ import annotations

from workers.inbox import Inbox, Job
from workers.runtimes.base import Batch
from workers.wire.v1 import worker_pb2 as wire


class Nobody:
    is_closed = False

    def post(self, reply: wire.Reply) -> None: ...


def job(number: int) -> Job:
    return Job(number, Batch(1, b""), Nobody(), None)


def test_jobs_come_out_in_the_order_in_which_they_went_in() -> None:
    inbox = Inbox()
    for number in (1, 2, 3):
        inbox.put(job(number))

    assert [taken.id for _ in range(3) if (taken := inbox.take())] == [1, 2, 3]


def test_a_full_inbox_refuses() -> None:
    inbox = Inbox(limit=2)

    assert [inbox.put(job(number)) for number in (1, 2, 3)] == [True, True, False]


def test_waking_ends_a_wait_without_a_job() -> None:
    inbox = Inbox()
    inbox.wake()

    assert inbox.take() is None


def test_closing_gives_what_is_left_and_refuses_what_comes() -> None:
    inbox = Inbox()
    inbox.put(job(1))
    inbox.wake()
    inbox.put(job(2))

    assert [left.id for left in inbox.close()] == [1, 2]
    assert not inbox.put(job(3))
    assert inbox.is_empty
