"""Spark prepares what one process does, byte for byte."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import deepfm_tf
from tests.data.preparing.test_maps import SCHEMA, tree, write_parquet

pyspark = pytest.importorskip("pyspark")
pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(shutil.which("java") is None, reason="no Java"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def context(monkeypatch):
    root = str(Path(__file__).parents[2])
    known = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, known]))
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    configuration = pyspark.SparkConf().setAll(settings.items())
    context = pyspark.SparkContext("local[2]", "test", conf=configuration)
    yield context
    context.stop()


def test_the_script_makes_the_same_directory(
    context, tmp_path, monkeypatch, capsys
):
    from pipelines import spark_prepare

    source = write_parquet(tmp_path)
    SCHEMA.save(tmp_path / "schema.json")
    deepfm_tf.prepare(source, tmp_path / "here", schema=SCHEMA)
    words = ["--train", source, "--schema", str(tmp_path / "schema.json")]
    words += ["--prepared", str(tmp_path / "elsewhere")]
    monkeypatch.setattr(sys, "argv", ["spark_prepare", *words])

    spark_prepare.main()

    assert "2,703 rows" in capsys.readouterr().out
    assert tree(tmp_path / "here") == tree(tmp_path / "elsewhere")
