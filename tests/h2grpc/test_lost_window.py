"""
Resets in the middle of a frame cost a connection some of its window; it is left before that is felt.

``ngh2`` keeps what is half here of a DATA frame until the rest comes, and drops it when the stream is reset meanwhile.
"""

from __future__ import annotations

from h2grpc.call import Call
from h2grpc.events import GoingAway, Message
from h2grpc.limits import Limits
from h2grpc.status import Status
from tests.support.h2grpc_wire import Wire, calls_of, of

WINDOW = 1 << 20
LIMITS = Limits(connection_window=WINDOW, stream_window=65_535)
FRAME = 16_000


def begin(wire: Wire) -> tuple[Call, Call]:
    """A call as its client and its server see it, that has said nothing yet."""
    call = wire.client.start(b"/t.Echo/echo", wire.now)
    wire.pump()
    return call, calls_of(wire.at_server)[-1]


def upload_that_is_answered_in_mid_frame(wire: Wire) -> None:
    call, at_server = begin(wire)
    wire.client.send_message(call, bytes(FRAME))
    data = wire.client.data_to_send()
    wire.server.receive(data[:-9], wire.now)
    wire.server.send_status(at_server, Status.ABORTED)
    answer = wire.server.data_to_send()
    wire.server.receive(data[-9:], wire.now)
    wire.client.receive(answer, wire.now)
    wire.pump()


def download_that_is_cancelled_in_mid_frame(wire: Wire) -> None:
    call, at_server = begin(wire)
    wire.server.send_headers(at_server)
    wire.pump()
    wire.server.send_message(at_server, bytes(FRAME))
    data = wire.server.data_to_send()
    wire.client.receive(data[:-9], wire.now)
    wire.client.cancel(call)
    wire.client.receive(data[-9:], wire.now)
    wire.pump()


def test_a_server_drains_a_connection_before_it_has_lost_half_of_its_window() -> None:
    wire = Wire(LIMITS)
    count, left = 0, WINDOW
    while not of(wire.at_client, GoingAway) and count < 200:
        count, left = count + 1, wire.server.receive_window
        upload_that_is_answered_in_mid_frame(wire)

    assert WINDOW // 4 // (FRAME + 1_000) <= count <= WINDOW // 4 // (FRAME - 1_000)
    assert left > WINDOW // 2


def test_a_client_leaves_a_connection_before_it_has_lost_half_of_its_window() -> None:
    wire = Wire(client_limits=LIMITS)
    count = 0
    while not of(wire.at_client, GoingAway) and count < 200:
        count += 1
        download_that_is_cancelled_in_mid_frame(wire)

    assert WINDOW // 4 // (FRAME + 1_000) <= count <= WINDOW // 4 // (FRAME - 1_000)
    assert wire.client.receive_window > WINDOW // 2


def test_resets_of_streams_that_brought_nothing_wear_nothing_out() -> None:
    wire = Wire(LIMITS, client_limits=LIMITS)
    for _ in range(1_000):
        call, at_server = begin(wire)
        wire.server.send_status(at_server, Status.ABORTED)
        wire.pump()
        call, _ = begin(wire)
        wire.client.cancel(call)
        wire.pump()

    assert not of(wire.at_client, GoingAway)


def test_resets_between_what_is_read_wear_nothing_out() -> None:
    wire = Wire(LIMITS, client_limits=LIMITS)
    for _ in range(1_000):
        wire.begin(bytes(50_000))
        wire.server.send_answer(calls_of(wire.at_server)[-1], bytes(50_000))
        wire.pump()
        _, at_server = begin(wire)
        wire.server.send_status(at_server, Status.ABORTED)
        wire.pump()

    assert not of(wire.at_client, GoingAway)
    assert len(of(wire.at_client, Message)) == 1_000
