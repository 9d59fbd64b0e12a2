"""What a configuration of models must hold."""

from __future__ import annotations

import os

from tensorflow_serving.config.model_server_config_pb2 import (
    TENSORFLOW,
    ModelConfig,
    ModelServerConfig,
)

from deepfm_tf.serving.errors import invalid_argument


def check_config(config: ModelServerConfig) -> None:
    """Refuse a configuration that cannot be served.

    Args:
        config: `ModelServerConfig`. With a `model_config_list`.

    Raises:
        ServingError: INVALID_ARGUMENT, with TensorFlow Serving's text where
            it has one.
    """
    names: set[str] = set()
    for model in config.model_config_list.config:
        if model.name in names:
            raise invalid_argument(
                f"Illegal to list model {model.name} multiple times in "
                "config list"
            )
        names.add(model.name)
        if "://" in model.base_path:
            raise invalid_argument(
                f"Model {model.name}: base_path must be a local directory; "
                f"got base_path()={model.base_path}. Copy or mount it, or "
                "use TensorFlow Serving itself."
            )
        if not os.path.isabs(model.base_path):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or "
                f"URI; got base_path()={model.base_path}"
            )
        _check_platform(model)


def _check_platform(model: ModelConfig) -> None:
    """Refuse any other platform than TensorFlow."""
    platform = model.model_platform
    if model.model_type == TENSORFLOW:
        if platform:
            raise invalid_argument(
                "Illegal setting both ModelServerConfig::model_type "
                "(deprecated) and ModelServerConfig::model_platform."
            )
        return
    if not platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type "
            "(deprecated) nor ModelServerConfig::model_platform, model name "
            f"is {model.name}"
        )
    if platform != "tensorflow":
        raise invalid_argument(
            f"Model {model.name} requests unsupported platform {platform}"
        )
