"""Compiles the kernels for the installed TensorFlow and this CPU."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deepfm_tf.errors import UserError
from deepfm_tf.native import cache
from deepfm_tf.storage import sync, unpublished

_COMPILERS = ("c++", "g++", "clang++")
_SECONDS = 600
_GOES_ON = "Training works without them, on TensorFlow's own operations."


def build_kernels() -> Path:
    """Compile the kernels, try them, and put them where trainings look.

    Returns:
        The library; the one that is there already, if it is whole.

    Raises:
        UserError: there is no compiler, it fails, what it made does not work,
            or there is no room for it.
    """
    found = cache.built()
    if found is not None and _is_whole(found):
        return found
    try:
        with unpublished(_made(cache.folder()), ".kernels-") as temporary:
            library = temporary / "kernels.so"
            _compile(library)
            named = library.with_name(cache.file_name(library.read_bytes()))
            library.rename(named)
            _try(named)
            sync(named)
            # Whole or not at all, whoever else builds the same.
            return named.replace(cache.folder() / named.name)
    except (OSError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"The kernels could not be written below {cache.folder()}: "
            f"{error}. Make room there, or name another folder in the "
            f"environment variable XDG_CACHE_HOME. {_GOES_ON}"
        ) from error


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_whole(path: Path) -> bool:
    try:
        return cache.file_name(path.read_bytes()) == path.name
    except OSError:
        return False


def _compiler() -> list[str]:
    if named := os.environ.get("CXX"):
        return shlex.split(named)
    for name in _COMPILERS:
        if found := shutil.which(name):
            return [found]
    raise UserError(
        f"A C++ compiler is needed to build kernels ({', '.join(_COMPILERS)}); "
        "none was found. On Debian or Ubuntu: sudo apt install g++. If yours "
        "has another name, give it in the environment variable CXX. "
        f"{_GOES_ON}"
    )


def _compile(library: Path) -> None:
    """Write the library, with the best instructions that the compiler knows."""
    import tensorflow as tf

    def command(level: Sequence[str]) -> list[str]:
        return [
            *_compiler(),
            *cache.OPTIONS,
            *level,
            *tf.sysconfig.get_compile_flags(),
            str(cache.SOURCE / "kernels.cc"),
            *("-o", str(library)),
            *tf.sysconfig.get_link_flags(),
        ]

    level = cache.cpu_level()
    status, said = _run(
        command([f"-march={level}", "-mtune=native"] if level else [])
    )
    if status and level and level in said:
        status, said = _run(command([]))  # an older compiler
    if status or not library.is_file():
        lines = [line for line in said.splitlines() if "error" in line]
        last = (lines or said.splitlines() or [f"exit status {status}"])[0]
        raise UserError(
            f"The kernels could not be compiled with {_compiler()[0]}: {last} "
            "It must be a compiler for C++17, and TensorFlow's headers must "
            f"be those of its wheel. {_GOES_ON}"
        )


def _run(command: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return 1, f"it took more than {_SECONDS} seconds."
    except OSError as error:
        return 1, f"{error.strerror}: {command[0]}."
    return done.returncode, done.stderr


def _try(library: Path) -> None:
    from deepfm_tf.native.library import load

    why_not = load(library).why_not
    if why_not:
        raise UserError(
            f"The kernels were compiled, but do not work: {why_not}. Compile "
            "with g++, as TensorFlow's wheels are: set the environment "
            f"variable CXX=g++. {_GOES_ON}"
        )
