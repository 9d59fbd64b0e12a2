"""Files with a recipe's own columns follow the files that they are made of."""

import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

import deepfm_tf
from pipelines.deriving import derived_files


def write_file(path, text):
    """Write with the time of the last write set, as `cp -p` does."""
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    os.utime(temporary, (10**9, 10**9))
    temporary.replace(path)


def test_a_file_of_equal_size_and_time_is_derived_anew(tmp_path):
    settings = SimpleNamespace(
        run=Path(tmp_path, "run"), text_format=deepfm_tf.TextFormat()
    )
    log = tmp_path / "log.csv"
    write_file(log, "site\na\n")
    derived_files(settings, lambda frame: frame, [str(log)])
    write_file(log, "site\nb\n")

    (part,) = derived_files(settings, lambda frame: frame, [str(log)])

    assert pd.read_parquet(part)["site"].tolist() == ["b"]
