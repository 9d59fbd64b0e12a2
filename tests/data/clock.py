"""The file system's clock, which may tick a few hundred times a second."""

import time


def wait_for_a_tick(path):
    """Return when a change of `path` would have another time than its last."""
    probe = path.with_name("probe")
    deadline = time.monotonic() + 5
    while True:
        probe.write_bytes(b"")
        if probe.stat().st_ctime_ns > path.stat().st_ctime_ns:
            break
        assert time.monotonic() < deadline
    probe.unlink()
