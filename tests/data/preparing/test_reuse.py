"""A prepared directory is used again only if it is whole and of the same."""

import errno
import itertools
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.data.preparing import passes
from deepfm_tf.data.reading import stamps

SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.CategoricalField("site", min_count=1),
        deepfm_tf.NumericField("price", scaling="none"),
    ),
    "click",
)


def write_log(path, num_rows=700):
    """Rows whose price is their number; every third one is clicked."""
    number = np.arange(num_rows)
    pd.DataFrame(
        {
            "site": [f"s{i % 40}" for i in number],
            "price": number,
            "click": (number % 3 == 0).astype(int),
        }
    ).to_csv(path, index=False)
    return path


@pytest.fixture
def log(tmp_path):
    return write_log(tmp_path / "log.csv")


@pytest.fixture
def settled(monkeypatch):
    """No file counts as changed a moment ago."""
    monkeypatch.setattr(stamps, "SETTLED_NANOSECONDS", -(10**12))


def rows_of(prepared):
    """All rows (rows, 3): label, price, id of the site."""
    batches = prepared.dataset(prepared.num_rows).as_numpy_iterator()
    parts = [np.hstack([y, x["values"], x["ids"]]) for x, y in batches]
    return np.concatenate(parts)


def prices(prepared):
    return rows_of(prepared)[:, 1].astype(int).tolist()


VOCABULARY = deepfm_tf.fit_vocabulary(
    {"site": ["s1", "s2"], "price": [0.0, 1.0], "click": [1, 0]}, SCHEMA
)
RECIPES = {
    "schema": {
        "schema": deepfm_tf.Schema(
            (SCHEMA.fields[0], deepfm_tf.NumericField("price", "log")), "click"
        )
    },
    "part": {"part": deepfm_tf.Part(0.0, 0.5, seed=1)},
    "seed of the part": {"part": deepfm_tf.Part(0.0, 0.5, seed=2)},
    "negative_sampling": {
        "part": deepfm_tf.Part(0.0, 0.5, seed=1, negative_sampling=0.5)
    },
    "text format": {
        "text_format": deepfm_tf.TextFormat(separator=",", quoting=False)
    },
    "on_error": {"on_error": "skip"},
    "vocabulary": {"schema": None, "vocabulary": VOCABULARY},
}


@pytest.mark.parametrize("name", RECIPES)
def test_other_settings_prepare_anew(name, log, tmp_path):
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    before = (tmp_path / "p").stat().st_ino
    arguments = {"schema": SCHEMA, **RECIPES[name]}

    found = deepfm_tf.prepare(log, tmp_path / "p", **arguments)
    fresh = deepfm_tf.prepare(log, tmp_path / "q", **arguments)

    assert (tmp_path / "p").stat().st_ino != before
    assert found.fingerprint == fresh.fingerprint
    again, anew = (
        {p.name: p.read_bytes() for p in (tmp_path / name).glob("shard-*.bin")}
        for name in "pq"
    )
    assert again == anew != {}


def test_a_change_far_behind_the_beginning_is_noticed(tmp_path, settled):
    # 45 rows of 100 kB each: the label of the last one is beyond 4 MiB.
    path, filler = tmp_path / "log.csv", "x" * 100_000
    path.write_text(
        "site,price,click,more\n"
        + "".join(f"{n % 2},{n % 9},0,{filler}\n" for n in range(45))
    )
    with pytest.warns(UserWarning, match="Every label is 0"):
        deepfm_tf.prepare(path, tmp_path / "p", schema=SCHEMA)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(size - len(filler) - len("a,1,0,\n"))
        file.write(b"0,8,1,")

    prepared = deepfm_tf.prepare(path, tmp_path / "p", schema=SCHEMA)

    assert path.stat().st_size == size
    assert prepared.num_positives == 1


@pytest.mark.parametrize("how", ["in place", "cp -p", "a moment ago"])
def test_a_file_of_equal_size_and_time_is_read_anew(
    how, log, tmp_path, monkeypatch
):
    if how != "a moment ago":
        monkeypatch.setattr(stamps, "SETTLED_NANOSECONDS", -(10**12))
    status = log.stat()
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    other = log.read_text().replace(",1\n", ",0\n", 2)
    times = (status.st_atime_ns, status.st_mtime_ns)
    if how == "cp -p":
        (tmp_path / "new.csv").write_text(other)
        os.utime(tmp_path / "new.csv", ns=times)
        shutil.copy2(tmp_path / "new.csv", log)
    else:
        log.write_text(other)
        os.utime(log, ns=times)

    prepared = deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    assert (log.stat().st_size, log.stat().st_mtime_ns) == (
        status.st_size,
        status.st_mtime_ns,
    )
    # Every third one of the 700, from the first, but for the first two.
    assert prepared.num_positives == 234 - 2


def test_an_unchanged_file_is_not_read_again(
    log, tmp_path, monkeypatch, settled
):
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    monkeypatch.setattr("deepfm_tf.data.reading.digests.hashlib", None)

    prepared = deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    assert prepared.num_rows == 700


def test_on_a_network_file_system_a_file_is_read_for_its_digest(
    log, tmp_path, monkeypatch, settled
):
    monkeypatch.setattr(stamps.Stamp, "is_local", lambda self: False)
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    monkeypatch.setattr("deepfm_tf.data.reading.digests.hashlib", None)

    with pytest.raises(AttributeError, match="blake2b"):
        deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)


def test_a_touched_file_is_read_once_more_only(
    log, tmp_path, monkeypatch, settled
):
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    os.utime(log)
    inode = (tmp_path / "p").stat().st_ino
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    monkeypatch.setattr("deepfm_tf.data.reading.digests.hashlib", None)

    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    assert (tmp_path / "p").stat().st_ino == inode


@pytest.mark.parametrize("is_settled", [False, True])
def test_a_file_that_changes_while_it_is_read_is_refused(
    is_settled, log, tmp_path, monkeypatch
):
    status, tasks_of = log.stat(), passes.shard_tasks
    if is_settled:
        monkeypatch.setattr(stamps, "SETTLED_NANOSECONDS", -(10**12))

    def change(*arguments):
        # The rows are read, and the digest is of the old contents.
        with open(log, "r+b") as file:
            file.seek(-2, os.SEEK_END)
            file.write(b"0")
        os.utime(log, ns=(status.st_atime_ns, status.st_mtime_ns))
        return tasks_of(*arguments)

    monkeypatch.setattr(passes, "shard_tasks", change)

    with pytest.raises(ValueError, match="log.csv changed while it was read"):
        deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_negatives_are_drawn_anew_in_each_block(tmp_path, monkeypatch):
    monkeypatch.setattr("deepfm_tf.files.readers.BLOCK_ROWS", 50)
    frame = pd.DataFrame(
        {
            "site": ["a", "b"] * 200,
            "price": range(400),
            "click": [1] + [0] * 399,
        }
    )

    prepared = deepfm_tf.prepare(
        frame,
        tmp_path / "p",
        schema=SCHEMA,
        part=deepfm_tf.Part(0.0, 1.0, seed=3, negative_sampling=0.5),
    )

    kept = np.array(prices(prepared))
    by_block = {tuple(kept[kept // 50 == b] % 50) for b in range(1, 8)}
    assert len(by_block) == 7


def test_a_broken_line_is_rejected_in_one_part_only(log, tmp_path):
    lines = log.read_text().splitlines()
    lines.insert(350, "cut,off")
    log.write_text("\n".join(lines) + "\n")
    bounds = [0.0, 0.25, 0.5, 1.0]

    parts = [
        deepfm_tf.prepare(
            log,
            tmp_path / str(start),
            schema=SCHEMA,
            part=deepfm_tf.Part(start, stop, seed=1),
            on_error="skip",
        )
        for start, stop in zip(bounds, bounds[1:], strict=False)
    ]

    assert sum(part.num_rejected for part in parts) == 1
    assert sorted(sum(map(prices, parts), [])) == list(range(700))


def test_a_directory_of_another_version_is_prepared_anew(log, tmp_path):
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    manifest = tmp_path / "p" / "prepared.json"
    text = manifest.read_text()
    manifest.write_text(
        text.replace('"format_version": 3', '"format_version": 1')
    )

    with pytest.raises(ValueError, match="format version 3. Received: 1"):
        deepfm_tf.PreparedData.load(tmp_path / "p")
    with pytest.warns(UserWarning, match="Received: 1.*It is prepared again"):
        deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    assert manifest.read_text() == text


def flip(path):
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def reverse_lines(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(reversed(lines)))


def edit(path):
    text = path.read_text()
    assert '"num_rows": 5' in text
    path.write_text(text.replace('"num_rows": 5', '"num_rows": 4'))


DAMAGES = {
    "flipped": flip,
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "absent": lambda path: path.unlink(),
}
FILES = (
    *("prepared.json", "checksums.bin", "shard-00000.bin", "rejected.csv"),
    *("vocabulary/schema.json", "vocabulary/statistics.json"),
    "vocabulary/000_site.txt",
)


@pytest.mark.filterwarnings("ignore:.*It is prepared again")
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *itertools.product(FILES, DAMAGES.values()),
        ("vocabulary/000_site.txt", reverse_lines),
        ("prepared.json", edit),
    ],
)
def test_every_damage_is_told_and_mended(name, damage, tmp_path):
    source = {
        "site": ["b", "a", "c", "b", "b", "a"],
        "price": [0, 1, 2, 3, 4, 5],
        "click": [0, 1, 0, 1, 0, 9],
    }
    directory = tmp_path / "p"

    def prepare():
        deepfm_tf.prepare(source, directory, schema=SCHEMA, on_error="skip")
        # How files looked when they were read is not the same again.
        return {
            path: path.read_bytes()
            for path in directory.rglob("*")
            if path.is_file() and path.name != "stamps.json"
        }

    right = prepare()
    damage(directory / name)
    if name != "rejected.csv":  # nothing reads it
        # Rows are read in the graph, which makes the error TensorFlow's.
        errors = (ValueError, tf.errors.InvalidArgumentError)
        with pytest.raises(errors, match=f"{name}[ )].*repare"):
            rows_of(deepfm_tf.PreparedData.load(directory))

    assert prepare() == right


def test_a_directory_replaced_under_a_data_set_is_told(log, tmp_path):
    prepared = deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    dataset = prepared.dataset(100)
    write_log(log, 699)

    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    with pytest.raises(
        tf.errors.InvalidArgumentError, match="replaced while a data set"
    ):
        next(iter(dataset))


def test_a_run_that_comes_second_replaces_what_the_first_has_put_there(
    log, tmp_path, monkeypatch
):
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    shutil.copytree(tmp_path / "p", tmp_path / "first")
    write_log(log, 50)
    rename, calls = os.rename, []

    def another_comes_in_between(source, target):
        rename(source, target)
        calls.append(source)
        if len(calls) == 1:  # the place is free for a moment
            rename(tmp_path / "first", source)

    monkeypatch.setattr(os, "rename", another_comes_in_between)
    prepared = deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    assert len(calls) == 3
    assert prices(prepared) == list(range(50))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "p"]


def test_what_is_replaced_comes_back_if_the_new_cannot_take_its_place(
    log, tmp_path, monkeypatch
):
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    write_log(log, 50)
    rename = os.rename

    def fail_for_the_new(source, target):
        if source.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_for_the_new)
    with pytest.raises(OSError, match="Input/output error"):
        deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)

    assert deepfm_tf.PreparedData.load(tmp_path / "p").num_rows == 700


@pytest.mark.parametrize("left", ["other.txt", "vocabulary/more.txt"])
def test_what_is_not_all_ours_is_left_alone(left, log, tmp_path):
    deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
    (tmp_path / "p" / left).touch()
    (tmp_path / "p" / "prepared.json").unlink()

    with pytest.raises(FileExistsError, match="nothing in it was touched"):
        deepfm_tf.prepare(log, tmp_path / "p", schema=SCHEMA)
