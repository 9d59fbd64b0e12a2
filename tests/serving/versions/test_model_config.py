"""Configurations of models that are refused."""

import re

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions.model_config import check_config


@pytest.mark.parametrize(
    ("models", "error"),
    [
        (
            'config { name: "toy" base_path: "rel/toy" '
            'model_platform: "tensorflow" }',
            "^Expected model toy to have an absolute path or URI; got "
            r"base_path\(\)=rel/toy$",
        ),
        (
            'config { name: "toy" base_path: "/toy" }',
            r"^Illegal setting neither ModelServerConfig::model_type "
            r"\(deprecated\) nor ModelServerConfig::model_platform, model "
            "name is toy$",
        ),
        (
            'config { name: "toy" base_path: "/a" model_type: TENSORFLOW } '
            'config { name: "toy" base_path: "/b" model_type: TENSORFLOW }',
            "^Illegal to list model toy multiple times in config list$",
        ),
        (
            'config { name: "toy" base_path: "s3://bucket/toy" '
            'model_platform: "tensorflow" }',
            "must be a local directory.*s3://bucket/toy",
        ),
        (
            'config { name: "toy" base_path: "/a" model_type: TENSORFLOW '
            'model_platform: "tensorflow" }',
            "^Illegal setting both",
        ),
        (
            'config { name: "toy" base_path: "/a" model_platform: "caffe" }',
            "^Model toy requests unsupported platform caffe$",
        ),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused(models, error):
    config = text_format.Parse(
        f"model_config_list {{ {models} }}", ModelServerConfig()
    )

    with pytest.raises(ServingError) as caught:
        check_config(config)

    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert re.search(error, caught.value.message)
