"""Clients that do not send what they began."""

import threading

from deepfm_tf.serving.server.patience import Patience


class FakeContext:
    def __init__(self):
        self.cancelled = threading.Event()
        self.cancel = self.cancelled.set


def test_a_call_that_waits_too_long_is_cancelled():
    patience, context = Patience(0.01), FakeContext()

    with patience.waiting(context):
        was_cancelled = context.cancelled.wait(10)

    patience.stop()
    assert was_cancelled


def test_a_call_that_has_arrived_is_left_alone():
    patience, early, late = Patience(0.01), FakeContext(), FakeContext()

    with patience.waiting(early):
        pass
    with patience.waiting(late):
        assert late.cancelled.wait(10)

    patience.stop()
    assert not early.cancelled.is_set()
