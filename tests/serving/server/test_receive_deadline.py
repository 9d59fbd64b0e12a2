"""Clients that do not send what they began."""

import threading

from deepfm_tf.serving.server.receive_deadline import ReceiveDeadline


class FakeContext:
    def __init__(self):
        self.cancelled = threading.Event()
        self.cancel = self.cancelled.set


def test_a_call_that_waits_too_long_is_cancelled():
    deadline, context = ReceiveDeadline(0.01), FakeContext()

    with deadline.waiting(context):
        was_cancelled = context.cancelled.wait(10)

    deadline.stop()
    assert was_cancelled


def test_a_call_that_has_arrived_is_left_alone():
    deadline, early, late = ReceiveDeadline(0.01), FakeContext(), FakeContext()

    with deadline.waiting(early):
        pass
    with deadline.waiting(late):
        assert late.cancelled.wait(10)

    deadline.stop()
    assert not early.cancelled.is_set()
