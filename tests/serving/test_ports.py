"""Binding ports, and when a server that stops may close its own."""

import socket

import pytest

from deepfm_tf.serving import ports
from deepfm_tf.serving.ports import Drain, bind


def test_a_taken_port_is_named_with_its_flag():
    with bind(0, "--port") as bound:
        bound.listen()
        port = bound.getsockname()[1]

        with pytest.raises(
            ValueError, match=f"{port} .another server has it.*--rest_api_port"
        ):
            bind(port, "--rest_api_port")


def test_the_protocol_is_named():
    """Without it asyncio leaves Nagle's algorithm on: 40 ms an answer."""
    with bind(0, "--port") as bound:
        assert bound.proto == socket.IPPROTO_TCP


@pytest.fixture
def clock(monkeypatch):
    """Sets the time: `clock(10.0)`."""

    def set_time(seconds):
        monkeypatch.setattr(ports.time, "monotonic", lambda: seconds)

    set_time(100.0)
    return set_time


def test_it_waits_for_a_moment_without_traffic(clock):
    drain = Drain(quiet_seconds=0.5, most_seconds=2.0)
    drain.note_call()
    clock(100.25)
    drain.begin()

    assert drain.seconds_left() == 0.25
    drain.note_call()
    assert drain.seconds_left() == 0.5
    clock(100.75)
    assert drain.seconds_left() == 0.0


def test_traffic_without_end_does_not_keep_it(clock):
    drain = Drain(quiet_seconds=0.5, most_seconds=2.0)
    drain.begin()
    clock(101.75)
    drain.note_call()

    assert drain.seconds_left() == 0.25
    clock(102.0)
    drain.note_call()
    assert drain.seconds_left() == 0.0


def test_without_traffic_it_waits_for_nothing(clock):
    drain = Drain(quiet_seconds=0.5)

    assert not drain.has_begun
    drain.begin()

    assert drain.has_begun
    assert drain.seconds_left() == 0.0


def test_an_answer_is_traffic_as_well(clock):
    drain = Drain(quiet_seconds=0.5)
    drain.begin()
    drain.note_answer()

    assert drain.seconds_left() == 0.5


def test_clients_that_do_not_pause_are_refused(clock, monkeypatch):
    monkeypatch.setattr(ports, "ANSWER_CALLS", 2)
    drain = Drain()
    assert all(drain.note_call() for _ in range(3))
    drain.begin()

    assert [drain.note_call() for _ in range(3)] == [True, True, False]


def test_calls_that_come_late_are_refused(clock):
    drain = Drain()
    drain.begin()

    clock(100.25)
    assert drain.note_call()
    clock(100.5)
    assert not drain.note_call()


def test_an_answer_waits_for_half_of_its_time_at_most(clock):
    drain = Drain(quiet_seconds=0.5, most_seconds=2.0)
    drain.begin()
    drain.note_call()

    assert drain.longest_hold(None) == 4.0
    assert drain.longest_hold(1e9) == 4.0
    assert drain.seconds_left() == 0.5
    assert drain.longest_hold(0.5) == 0.25
    assert drain.seconds_left() == 0.125
