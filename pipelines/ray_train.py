"""Two workers of Ray Train that train one model.

    python ray_train.py --train /shared/clicks.csv --label clicked \\
        --prepared /shared/prep --run /shared/run

The options are those of `deepfm-tf train`, with folders that all workers
share. Ray sets TF_CONFIG for each, and starts all again after a failure: they
go on after the last whole epoch.
"""

import os
import sys

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.tensorflow import TensorflowTrainer


def train(options: dict[str, list[str]]) -> None:
    """What each worker does."""
    # Ray asks for Keras 2 where it imports TensorFlow.
    os.environ["TF_USE_LEGACY_KERAS"] = "0"
    from deepfm_tf.experiment.command_line import main

    status = main(arguments=options["words"])
    if status:
        raise RuntimeError(f"deepfm-tf train has ended with status {status}")


if __name__ == "__main__":
    TensorflowTrainer(
        train,
        train_loop_config={"words": sys.argv[1:]},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=3)),
    ).fit()
