"""Packages that only some of the features need, and how to get them."""

from __future__ import annotations

import importlib.util

from deepfm_tf.shell import command_line

# Extra of setup.py -> module -> the package that holds it.
EXTRAS = {
    "calibration": {"sklearn": "scikit-learn"},
    "dask": {"distributed": "distributed"},
    "plots": {"matplotlib": "matplotlib"},
    "serving": {
        "grpc_health": "grpcio-health-checking",
        "prometheus_client": "prometheus-client",
        "starlette": "starlette",
        "uvicorn": "uvicorn",
    },
    "tensorboard": {"tensorboard": "tensorboard"},
    "tune": {"matplotlib": "matplotlib", "optuna": "optuna"},
}


def missing(extra: str) -> list[str]:
    """The packages of an extra that are not installed.

    Args:
        extra: str. One of `EXTRAS`.
    """
    return [
        package
        for module, package in EXTRAS[extra].items()
        if importlib.util.find_spec(module) is None
    ]


def install_hint(what: str, extra: str) -> str:
    """One sentence on what is missing, and the command that installs it.

    The command names the packages themselves: that works beside a checkout
    and where deepfm_tf was installed from elsewhere, and without an index
    that knows deepfm_tf.

    Args:
        what: str. What needs the packages, to begin the sentence with.
        extra: str. One of `EXTRAS`.

    Example:

    >>> print(install_hint("Plots need", "plots"))  # doctest: +ELLIPSIS
    Plots need matplotlib. Install it with: ... -m pip install matplotlib
    """
    # All of them where one is there, but cannot be imported.
    packages = missing(extra) or list(EXTRAS[extra].values())
    it = "it" if len(packages) == 1 else "them"
    return (
        f"{what} {' and '.join(packages)}. Install {it} with: "
        + command_line("python", "-m", "pip", "install", *packages)
    )
