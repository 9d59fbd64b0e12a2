"""Whether a file's contents can have changed, without reading them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# File systems of this machine, where nobody can set a change time back.
_LOCAL = frozenset(
    ("btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs")
)
# Two changes within a tick of the clock have one time.
SETTLED_NANOSECONDS = 2 * 10**9


class Stamp(NamedTuple):
    """How a file looks from outside.

    `touch` and `cp -p` set the time of the last write; nobody can set that
    of the last change of the file's state.
    """

    device: int
    inode: int
    size: int
    write_time: int
    change_time: int

    @classmethod
    def of(cls, path: str | Path) -> Stamp:
        """The stamp of a file as it is now."""
        # An open file: network file systems ask the server then.
        with open(path, "rb") as file:
            return cls.of_status(os.fstat(file.fileno()))

    @classmethod
    def of_status(cls, status: os.stat_result) -> Stamp:
        """The stamp of a file of which `os.fstat` told."""
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def is_settled(self) -> bool:
        """Whether a change from now on must show in the stamp.

        It need not if the last one was a moment ago.
        """
        last = max(self.write_time, self.change_time)
        return time.time_ns() - last > SETTLED_NANOSECONDS

    def is_local(self, mounts: str | Path = "/proc/self/mountinfo") -> bool:
        """Whether the times are those of this machine's own kernel.

        Those of a network file system are anybody's. In doubt they are not
        ours, as on systems without `/proc`.

        Args:
            mounts: the file that lists what is mounted.
        """
        number = f"{os.major(self.device)}:{os.minor(self.device)}"
        try:
            with open(mounts, encoding="utf-8") as file:
                lines = [line.split() for line in file]
        except (OSError, UnicodeError):
            return False
        kinds = {
            line[line.index("-") + 1] for line in lines if line[2] == number
        }
        return bool(kinds) and kinds <= _LOCAL

    def proves(self, earlier: Sequence[int] | None) -> bool:
        """Whether the contents are those of an earlier, settled stamp's.

        Args:
            earlier: that stamp; None if there is none.
        """
        return earlier == list(self) and self.is_local()
