"""Where results go."""

import errno
import os

import pytest

from deepfm_tf.experiment.fitting.training import UserError
from deepfm_tf.experiment.run_folder.files import (
    check_file,
    check_folder,
    writing,
)


def test_a_check_leaves_everything_as_it_was(tmp_path):
    (tmp_path / "old.json").write_text("{}")

    check_folder("--run", tmp_path)
    check_folder("--run", tmp_path / "a" / "b")
    check_file("--report", tmp_path / "c" / "new.json", (".html", ".json"))
    check_file("--report", tmp_path / "old.json", (".html", ".json"))

    assert [p.name for p in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("old.csv", "--export .*old.csv: is a file. Name a folder"),
        ("old.csv/x", r"cannot be written to \(Not a directory\). Name a fo"),
        ("/proc/x", r"--export /proc/x: cannot be written to \(No such file"),
        ("/dev/null", "is a file"),
    ],
)
def test_folders_that_cannot_be_written_are_told(tmp_path, path, message):
    (tmp_path / "old.csv").touch()

    with pytest.raises(UserError, match=message):
        check_folder("--export", tmp_path / path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("r.pdf", "end in .html or .json. Name .* for example .*r.html"),
        ("old.csv", "must end in .html or .json"),
        ("folder.json", "folder.json: is a folder. Name a new file"),
        ("device.json", "device.json: is no regular file"),
        ("old.csv/r.json", r"cannot be written \(Not a directory\)"),
        ("/proc/x.html", r"--report /proc/x.html: cannot be written \(No"),
    ],
)
def test_files_that_cannot_be_written_are_told(tmp_path, path, message):
    (tmp_path / "old.csv").touch()
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "device.json").symlink_to("/dev/null")

    with pytest.raises(UserError, match=message):
        check_file("--report", tmp_path / path, (".html", ".json"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "Error writing bytes to file"),
        RuntimeError(f"x/variables; {os.strerror(errno.ENOSPC)} [Op:SaveV2]"),
    ],
)
def test_a_full_disk_is_told_with_the_file(tmp_path, error):
    message = r"run could not be written: No space left on device. Make room"
    with (
        pytest.raises(UserError, match=f"{message} there. Or --run."),
        writing(tmp_path / "run", "Or --run."),
    ):
        raise error


def test_other_errors_are_left_alone(tmp_path):
    with pytest.raises(ValueError, match="x"), writing(tmp_path, ""):
        raise ValueError("x")
