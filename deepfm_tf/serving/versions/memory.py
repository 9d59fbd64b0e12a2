"""Giving memory back to the operating system."""

from __future__ import annotations

import ctypes
import gc


def return_memory() -> None:
    """Free what only reference cycles hold, and hand free pages back.

    A closed model leaves cycles in Python and, under glibc, free pages that
    the allocator keeps: without this the process grows at every switch.
    """
    gc.collect()
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return  # not glibc: musl, macOS and Windows give back by themselves
    malloc_trim(0)
