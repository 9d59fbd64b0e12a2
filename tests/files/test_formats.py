"""Files of rows are known by their names, and looked for."""

import pytest

from deepfm_tf.files.formats import check_file, format_of


def test_missing_files_are_looked_for(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")

    with pytest.raises(FileNotFoundError, match="Did you mean .*rows.csv"):
        check_file(tmp_path / "row.csv")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_file(tmp_path / "nope" / "row.csv")
    with pytest.raises(FileNotFoundError, match="is a directory"):
        check_file(tmp_path)
    with pytest.raises(ValueError, match="must be CSV.*Received: rows.xlsx"):
        format_of("rows.xlsx")
