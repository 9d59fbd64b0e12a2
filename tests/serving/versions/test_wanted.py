"""What a configuration asks for: refused, found, chosen."""

import logging
import os
import re
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions.wanted import (
    check_config,
    choose_versions,
    find_versions,
)


def test_only_directories_whose_names_are_int64_are_found(tmp_path):
    versions = {
        "9223372036854775807": 2**63 - 1, "10": 10, "0002": 2, "1": 1,
        "-1": -1,
    }  # fmt: skip
    others = "9223372036854775808", "+4", "1_000", "7.tmp", "notes", "temp-1"
    for name in (*versions, *others, "\N{ARABIC-INDIC DIGIT ONE}"):
        (tmp_path / name).mkdir()
    (tmp_path / "3").write_text("a file")

    found = find_versions(tmp_path)

    assert list(found.items()) == [
        (number, tmp_path / name) for name, number in versions.items()
    ]


def test_of_two_names_of_one_version_the_first_counts(tmp_path, caplog):
    (tmp_path / "1").mkdir()
    (tmp_path / "01").mkdir()

    with caplog.at_level(logging.WARNING):
        found = find_versions(tmp_path)

    assert found == {1: tmp_path / "01"}
    assert "Version 1 is in both" in caplog.text


def test_what_vanishes_during_the_look_is_skipped(tmp_path, monkeypatch):
    (tmp_path / "2").mkdir()
    monkeypatch.setattr(os, "listdir", lambda path: ["1", "2"])

    assert find_versions(tmp_path) == {2: tmp_path / "2"}


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", [9]),
        ("latest {}", [9]),
        ("latest { num_versions: 2 }", [9, 4]),
        ("latest { num_versions: 9 }", [9, 4, 1]),
        ("all {}", [9, 4, 1]),
        ("specific { versions: 1 versions: 9 }", [9, 1]),
        ("specific { versions: 5 }", []),
    ],
)
def test_policies_choose_versions(policy, chosen):
    found = {version: Path(str(version)) for version in (9, 4, 1)}
    message = text_format.Parse(
        policy, FileSystemStoragePathSourceConfig.ServableVersionPolicy()
    )

    assert list(choose_versions(message, found)) == chosen


@pytest.mark.parametrize(
    ("models", "error"),
    [
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
            "^Illegal setting both ModelServerConfig::model_type ",
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
