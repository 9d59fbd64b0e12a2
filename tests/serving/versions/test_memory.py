"""Giving memory back."""

import ctypes
import weakref

from deepfm_tf.serving.versions.memory import return_memory


class Node:
    """Can be part of a cycle."""


def test_cycles_are_freed():
    node = Node()
    node.itself = node
    reference = weakref.ref(node)
    del node

    return_memory()

    assert reference() is None


def test_an_allocator_without_trim_is_left_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name))

    return_memory()

    assert asked == [None]  # and what it gave has no malloc_trim
