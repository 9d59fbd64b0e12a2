"""The file that TensorFlow Serving warms up with."""

import collections
import os
from pathlib import Path

import numpy as np
import pytest

from deepfm_tf.export.warm_up import read_warm_up, replay

SIGNATURES = [
    "serving_default",
    "packed",
    "ids",
    "classify",
    "regress",
    "rank",
    "packed_rank",
    "explain",
]


@pytest.fixture(scope="module")
def logs(exported):
    return list(read_warm_up(Path(exported)))


def request_of(log):
    return getattr(log, log.WhichOneof("log_type")).request


def test_every_signature_is_asked_about_few_batch_sizes(logs):
    sizes = collections.defaultdict(list)
    for log in logs:
        request = request_of(log)
        if log.HasField("predict_log"):
            size = max(
                t.tensor_shape.dim[0].size for t in request.inputs.values()
            )
        else:
            size = len(request.input.example_list.examples)
        sizes[request.model_spec.signature_name].append(size)

    assert sizes == {name: [1, 10, 100] for name in SIGNATURES} | {
        "fields": [1]
    }


def test_the_kind_of_a_record_is_its_signatures_method(logs):
    kinds = {
        request_of(log).model_spec.signature_name: log.WhichOneof("log_type")
        for log in logs
    }

    assert kinds == dict.fromkeys(SIGNATURES, "predict_log") | {
        "fields": "predict_log",
        "classify": "classify_log",
        "regress": "regress_log",
    }
    assert {request_of(log).model_spec.name for log in logs} == {"deepfm"}


def test_each_record_runs(logs, loaded):
    for log in logs:
        outputs = replay(log, loaded)

        assert all(len(array) for array in outputs.values())
        for array in outputs.values():
            assert array.dtype == object or np.isfinite(array).all()


def test_the_file_is_small(exported):
    size = os.path.getsize(
        Path(exported) / "assets.extra" / "tf_serving_warmup_requests"
    )

    assert size < 100_000
