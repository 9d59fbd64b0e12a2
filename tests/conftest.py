"""Shared fixtures: two logical CPU devices, a small click log, real data."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    import deepfm_tf

REAL_DATA = Path(
    os.environ.get(
        "DEEPFM_TF_REAL_DATA",
        Path(__file__).parents[2] / "shared" / "data",
    )
)


# XLA compiles a layout of fields in a third of the time without them.
XLA_FLAGS = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)


def set_up_tensorflow() -> None:
    """Two devices, and graphs as they are written."""
    import tensorflow as tf

    # A release that does not know a flag ends the process.
    if tf.__version__.startswith("2.21."):
        os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
    # Replicas must exist before TensorFlow runs its first operation.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    # What TensorFlow rewrites each graph for pays after thousands of steps;
    # here it takes a third of the time.
    tf.config.optimizer.set_experimental_options(
        {"disable_meta_optimizer": True}
    )
    # Each operation notes where Python made it, for messages; to walk pytest's
    # frames for that is a twelfth of tracing.
    try:
        from tensorflow.python.client import pywrap_tf_session
        from tensorflow.python.util import tf_stack

        assert tf_stack.extract_stack and pywrap_tf_session.TF_SetOpStackTrace
    except (ImportError, AttributeError):  # a release without the names
        return
    tf_stack.extract_stack = lambda *_, **__: None
    pywrap_tf_session.TF_SetOpStackTrace = lambda *_: None


def pytest_sessionstart(session):
    """Not in the process that only deals tests out: all others wait for it."""
    if session.config.getoption("dist", "no") != "no":
        return
    # Of the many objects that imports make, none is garbage.
    gc.disable()
    if sys.version_info < (3, 12):
        # TensorFlow asks for each operation that it traces whether something
        # keeps a protocol, whose members Python lists anew until 3.12.
        members = typing._get_protocol_attrs
        typing._get_protocol_attrs = functools.cache(members)
    # No test cuts the power, and a disk that others use takes seconds.
    os.fsync = lambda descriptor: None
    capture = session.config.pluginmanager.getplugin("capturemanager")
    capture.resume_global_capture()
    try:
        set_up_tensorflow()
    finally:
        capture.suspend_global_capture()
        capture.read_global_capture()


def pytest_collection_finish():
    """A full collection need not walk what the imports made each time."""
    gc.collect()
    gc.freeze()
    # Graphs are many objects that live on: with the usual thresholds the
    # collector walks them for a twelfth of all time. Each module's end does it.
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file to a process, but all that share one export to the same."""
    from xdist.scheduler import LoadScopeScheduling

    class BySharing(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            folder = "tests/export/"
            if nodeid.startswith(folder):
                return folder
            return super()._split_scope(nodeid)

    return BySharing(config, log)


@pytest.fixture(scope="module", autouse=True)
def frozen_leftovers():
    """Nor what TensorFlow keeps of each module: custom gradients, for ever."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"real data is not there: {REAL_DATA}")
    return REAL_DATA


@contextlib.contextmanager
def unchecked():
    """Exports are not compared with the model, which is half of their time.

    For tests of what is around an export; `tests/export` has the comparison.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepfm_tf.export.saved_model.check", lambda *_: None)
        yield


def make_log(num_rows: int, seed: int = 0) -> pd.DataFrame:
    """A raw log with every kind of field, gaps and odd text."""
    random = np.random.default_rng(seed)
    left = random.integers(0, 4, num_rows)
    right = random.integers(0, 4, num_rows)
    odds = np.where((left + right) % 2 == 0, 0.9, 0.1)
    price = random.normal(5, 3, num_rows).astype(np.float32)
    return pd.DataFrame(
        {
            "site": [f"s {i}" for i in left],
            "ad": [f"00{i}" for i in right],
            "ad2": random.choice(["000", "001", "\N{SNOWMAN}", ""], num_rows),
            "user": random.integers(
                10**19, 10**19 + 500, num_rows, np.uint64
            ).astype(str),
            "genres": random.choice(["x|y", "y", "", "x||z|w", "w"], num_rows),
            "tags": random.choice(["a:0.5|b:2", "", "c", "a:1e-1"], num_rows),
            "price": np.where(random.random(num_rows) < 0.1, np.nan, price),
            "age": random.integers(0, 90, num_rows),
            "count": random.integers(-3, 1000, num_rows),
            "clicked": (random.random(num_rows) < odds).astype(int),
        }
    )


def make_schema() -> deepfm_tf.Schema:
    """The schema of `make_log`."""
    import deepfm_tf

    return deepfm_tf.Schema(
        (
            deepfm_tf.CategoricalField("site"),
            deepfm_tf.CategoricalField("ad"),
            deepfm_tf.CategoricalField(
                "ad2", share_with="ad", missing="nothing"
            ),
            deepfm_tf.CategoricalField("user", hash_buckets=50),
            deepfm_tf.MultiValuedField("genres", pooling="mean", max_length=4),
            deepfm_tf.MultiValuedField(
                "tags",
                weight_separator=":",
                max_length=3,
                pooling="mean",
                missing="value",
            ),
            deepfm_tf.NumericField("price", missing="nothing"),
            deepfm_tf.BucketizedField("age", num_buckets=5),
            deepfm_tf.BucketizedField("count", "log_square"),
        ),
        label="clicked",
    )


@pytest.fixture(scope="session")
def log() -> pd.DataFrame:
    """2,000 rows of `make_log`."""
    return make_log(2000)


@pytest.fixture(scope="session")
def vocabulary(log: pd.DataFrame) -> deepfm_tf.Vocabulary:
    """Fitted on `log`."""
    import deepfm_tf

    return deepfm_tf.fit_vocabulary(log, make_schema())


@pytest.fixture(scope="session")
def small_vocabulary(log: pd.DataFrame) -> deepfm_tf.Vocabulary:
    """One row of the table a value, several with weights, one with a factor.

    All that an optimizer can tell apart, and quicker to trace than all kinds
    of fields; `test_conformance` trains with those.
    """
    import deepfm_tf

    fields = tuple(
        field
        for field in make_schema().fields
        if field.name in ("site", "tags", "price")
    )
    return deepfm_tf.fit_vocabulary(
        log, deepfm_tf.Schema(fields, label="clicked")
    )
