"""Values of options, as they are typed."""

import argparse

import pytest

from deepfm_tf.experiment.options.arguments import path


def test_results_are_written_to_paths_alone():
    with pytest.raises(
        argparse.ArgumentTypeError, match="only inputs may be URLs"
    ):
        path("s3://bucket/prepared")
