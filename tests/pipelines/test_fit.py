"""The plain fit script, as it is."""

import runpy
import sys

import pytest
import tensorflow as tf

from tests.conftest import make_log, unchecked


@pytest.mark.filterwarnings("ignore:The columns 'ad', 'user':UserWarning")
def test_the_fit_script_trains_and_exports(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["fit", "clicks.csv", "clicked"])
    log = make_log(1000)[["site", "ad", "price", "clicked"]]
    log.to_csv("clicks.csv", index=False)

    with unchecked():
        names = runpy.run_module("pipelines.fit")

    served = tf.saved_model.load(str(names["path"]))
    assert sorted(
        served.signatures["serving_default"](
            site=tf.constant(["s 1"]),
            ad=tf.constant(["001"]),
            price=tf.constant([3.0]),
        )
    ) == ["probability"]
    assert "--model_base_path=saved_models/fit" in capsys.readouterr().out
