"""Installs deepfm_tf; the recipes in pipelines/ run from the checkout."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (ROOT / "deepfm_tf" / "version.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)
# The local server; the client and TensorFlow Serving itself need none of it.
SERVING = [
    "grpcio-health-checking>=1.70,<2",
    "prometheus-client>=0.21,<1",
    "starlette>=0.45,<2",
    "uvicorn>=0.34,<1",
]

PLOTS = [
    "matplotlib>=3.9,<4",
    "matplotlib>=3.9.2; python_version >= '3.13'",
]
CALIBRATION = ["scikit-learn>=1.5,<2"]
# For python -m pipelines.sweep.
TUNE = [*PLOTS, "optuna>=4.0,<5"]

setup(
    name="deepfm_tf",
    version=VERSION,
    description=(
        "DeepFM and its baselines for click-through rates on Keras 3: raw "
        "logs in, a SavedModel for TensorFlow Serving out"
    ),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["deepfm_tf", "deepfm_tf.*"]),
    package_data={
        "deepfm_tf": ["*.pyi", "py.typed"],
        "deepfm_tf.native": ["source/*"],
        "deepfm_tf.serving": ["templates/*"],
    },
    entry_points={
        "console_scripts": ["deepfm-tf = deepfm_tf.__main__:main"],
    },
    python_requires=">=3.10,<3.14",
    # Bounded to what the tests have run with.
    install_requires=[
        "tensorflow>=2.20,<2.22",
        "keras>=3.12,<3.16",
        "numpy>=1.26,<3",
        "pandas>=2.2,<4",
        "pyarrow>=17,<27",
        # The first with wheels for it.
        "numpy>=2.1; python_version >= '3.13'",
        "pandas>=2.2.3; python_version >= '3.13'",
        "pyarrow>=18; python_version >= '3.13'",
        "tensorflow-serving-api>=2.19,<2.22",
        "lazy_loader>=0.4,<1",
        # What Python 3.11 has as tomllib.
        "tomli>=2,<3; python_version < '3.11'",
        "tqdm>=4.66.3,<5",
        # As TensorFlow has it.
        "wrapt>=1.14,<3",
        "xxhash>=3.5,<5",
    ],
    extras_require={
        "calibration": CALIBRATION,
        # Dask without its data frames: a scheduler, workers, an executor.
        "dask": ["distributed>=2026.8,<2027"],
        # For make docs.
        "docs": ["pdoc>=16,<17"],
        "plots": PLOTS,
        "serving": SERVING,
        "tensorboard": ["tensorboard>=2.19,<3"],
        "tune": TUNE,
        "test": [
            # Trees that stop by given rows came with 1.7.
            "scikit-learn>=1.7,<2",
            *SERVING,
            *TUNE,
            "hypothesis>=6.150,<7",
            "pytest>=8,<10",
            "pytest-timeout>=2.3,<3",
            "pytest-xdist>=3.6,<4",
            "tensorboard>=2.19,<3",
        ],
    },
)
