"""The peers' environments: made on demand, with pinned versions."""

import dataclasses
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

DEFAULT_DIRECTORY = Path(
    os.environ.get("DEEPFM_TF_BENCHMARKS", "runs/benchmarks")
)


@dataclasses.dataclass(frozen=True)
class Environment:
    """What pip installs for some peers.

    Args:
        requirements: of pip.
        newest_python: the newest that the requirements have files for.
    """

    requirements: tuple[str, ...]
    newest_python: tuple[int, int] = (3, 13)


ENVIRONMENTS = {
    "deepctr": Environment(
        ("tensorflow-cpu==2.15.1", "numpy==1.26.4", "deepctr==0.9.4"),
        newest_python=(3, 11),
    ),
    "keras-rs": Environment(
        ("tensorflow-cpu==2.21.0", "keras==3.15.1", "keras-rs==0.4.0")
    ),
    # DeepCTR-Torch imports requests, but does not ask for it.
    "torch": Environment(
        (
            "torch==2.13.0",
            "numpy==2.4.6",
            "deepctr-torch==0.3.0",
            "requests==2.32.5",
            "fuxictr==2.3.10",
        )
    ),
    "fbgemm": Environment(
        ("torch==2.13.0", "numpy==2.4.6", "fbgemm-gpu-cpu==1.8.0")
    ),
    "jax": Environment(("jax==0.10.2", "numpy==2.4.6")),
    "vowpal-wabbit": Environment(("vowpalwabbit==9.11.9",)),
    "plots": Environment(("matplotlib==3.10.6",)),
}


def python_of(name: str | None, directory: Path) -> str:
    """The interpreter of an environment, which is made if it is not there.

    Args:
        name: of `ENVIRONMENTS`; None is the environment this runs in.
        directory: where the environments live.

    Raises:
        RuntimeError: no interpreter is old enough, or pip fails.
    """
    if name is None:
        return sys.executable
    environment = ENVIRONMENTS[name]
    place = (directory / f"env-{name}").absolute()
    python = place / "bin" / "python"
    # Written last: says that these requirements are installed.
    mark = place / "installed.txt"
    if not mark.is_file() or mark.read_text() != repr(environment):
        print(f"Installing {place}", file=sys.stderr, flush=True)
        _create(place, environment)
        mark.write_text(repr(environment))
    return str(python)


def _create(place: Path, environment: Environment) -> None:
    python = place / "bin" / "python"
    if not python.exists():
        if sys.version_info[:2] <= environment.newest_python:
            venv.create(place, with_pip=True)
        else:
            name = "python{}.{}".format(*environment.newest_python)
            older = shutil.which(name)
            if older is None:
                raise RuntimeError(
                    f"{', '.join(environment.requirements)} need {name} or "
                    f"older, which is not on the path."
                )
            subprocess.run([older, "-m", "venv", place], check=True)
    command = [python, "-m", "pip", "--disable-pip-version-check"]
    result = subprocess.run(
        [*command, "install", "--quiet", *environment.requirements],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"pip failed: {result.stderr.strip()[-800:]}")
