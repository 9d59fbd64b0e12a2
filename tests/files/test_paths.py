"""The files that names stand for."""

import pytest

from deepfm_tf.files.paths import expanded


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return folder


def test_a_folder_stands_for_its_files_and_those_below(tmp_path):
    touch(tmp_path, "b/2.csv", "b/_SUCCESS", ".x", "a.csv", "_t/0.csv")

    assert expanded([tmp_path]) == [
        str(tmp_path / "a.csv"),
        str(tmp_path / "b" / "2.csv"),
    ]


def test_a_pattern_stands_for_files_and_else_for_folders(tmp_path):
    touch(tmp_path, "a.csv", "b/2.csv", "d=1/x.csv", "d=2/x.csv")

    assert expanded([f"{tmp_path}/*"]) == [str(tmp_path / "a.csv")]
    assert expanded([f"{tmp_path}/d=*"]) == [
        str(tmp_path / "d=1" / "x.csv"),
        str(tmp_path / "d=2" / "x.csv"),
    ]


def test_a_file_url_is_a_path(tmp_path):
    touch(tmp_path, "a b.csv", "c.csv")

    assert expanded([f"file://{tmp_path}/a%20b.csv"]) == [
        str(tmp_path / "a b.csv")
    ]
    assert len(expanded([tmp_path.as_uri()])) == 2
    assert len(expanded([f"file://{tmp_path}/*.csv"])) == 2


def test_a_file_url_of_another_host_is_refused():
    with pytest.raises(ValueError, match="three slashes"):
        expanded(["file://data/day.csv"])


def test_a_folder_without_rows_is_told(tmp_path):
    touch(tmp_path, "_SUCCESS")

    with pytest.raises(
        FileNotFoundError, match="the folder is empty, or holds only"
    ):
        expanded([tmp_path])
