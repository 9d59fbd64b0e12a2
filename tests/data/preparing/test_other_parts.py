"""Parts of one source, read once, are what each is that reads for itself."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.data import OtherParts, prepare_part
from deepfm_tf.files import text

SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.CategoricalField("site", min_count=2),
        deepfm_tf.NumericField("price"),
        deepfm_tf.TimestampField("at"),
    ),
    "click",
)
RANDOM = {
    "train": deepfm_tf.Part(0.0, 0.6, 3, negative_sampling=0.5),
    "valid": deepfm_tf.Part(0.6, 0.8, 3),
    "test": deepfm_tf.Part(0.8, 1.0, 3),
}
BY_TIME = {
    "train": deepfm_tf.TimePart("at", None, 12 * 10**14),
    "valid": deepfm_tf.TimePart("at", 12 * 10**14, 13 * 10**14),
    "test": deepfm_tf.TimePart("at", 13 * 10**14, None),
}


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Two files in several blocks, with rows that cannot be read."""
    monkeypatch.setattr(text, "BLOCK_BYTES", 2_000)
    monkeypatch.setattr(text, "HEADER_BYTES", 100)
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for seed, path in enumerate(paths):
        random = np.random.default_rng(seed)
        log = pd.DataFrame(
            {
                "site": random.integers(0, 30, 500).astype(str),
                "price": random.random(500).round(3).astype(str),
                "at": random.integers(11 * 10**8, 14 * 10**8, 500),
                "click": random.integers(0, 2, 500),
            }
        )
        log.loc[::50, "price"] = "dear"
        log.to_csv(path, index=False)
        with open(path, "a") as file:
            file.write("cut,off\n")
    return [str(path) for path in paths]


def tree(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        # Times of files are their own.
        if path.is_file() and path.name != "stamps.json"
    }


def prepare_all(source, directory, parts, others=None, executor=None):
    vocabulary = None
    for name, part in parts.items():
        prepared = prepare_part(
            source,
            directory / name,
            schema=None if vocabulary else SCHEMA,
            vocabulary=vocabulary,
            part=part,
            on_error="skip",
            executor=executor,
            others=others,
        )
        vocabulary = vocabulary or prepared.vocabulary


def later(parts):
    return [part for name, part in parts.items() if name != "train"]


@pytest.fixture
def reads(monkeypatch):
    """The first line of each block that is parsed."""
    found, read = [], text.TextBlock.read

    def counted(block, columns):
        found.append((block.source, block.first_line))
        return read(block, columns)

    monkeypatch.setattr(text.TextBlock, "read", counted)
    return found


@pytest.mark.parametrize(
    ("parts", "is_elsewhere"),
    [(RANDOM, False), (RANDOM, True), (BY_TIME, False)],
)
def test_parts_read_together_are_those_read_alone(
    parts, is_elsewhere, source, tmp_path, reads
):
    prepare_all(source, tmp_path / "alone", parts)
    assert len(reads) == 3 * len(set(reads)) > 10
    reads.clear()

    with (
        ThreadPoolExecutor(2) as pool,
        OtherParts(tmp_path / "together", later(parts)) as others,
    ):
        executor = pool if is_elsewhere else None
        prepare_all(source, tmp_path / "together", parts, others, executor)

    assert len(reads) == len(set(reads)) > 10
    alone, together = tree(tmp_path / "alone"), tree(tmp_path / "together")
    assert {"train/rejected.csv", "test/rejected.csv"} <= alone.keys()
    assert alone == together
    names = [path.name for path in (tmp_path / "together").iterdir()]
    assert sorted(names) == ["test", "train", "valid"]


def test_without_the_first_part_the_others_are_read_together(
    source, tmp_path, reads
):
    prepare_all(source, tmp_path / "p", RANDOM)
    expected = tree(tmp_path / "p")
    for name in ("valid", "test"):
        shutil.rmtree(tmp_path / "p" / name)
    reads.clear()

    with OtherParts(tmp_path / "p", later(RANDOM)) as others:
        prepare_all(source, tmp_path / "p", RANDOM, others)

    assert len(reads) == len(set(reads)) > 10
    assert tree(tmp_path / "p") == expected


def test_nothing_is_written_where_all_is_there(source, tmp_path):
    prepare_all(source, tmp_path / "p", RANDOM)
    before = (tmp_path / "p").stat().st_mtime_ns

    with OtherParts(tmp_path / "p", later(RANDOM)) as others:
        prepare_all(source, tmp_path / "p", RANDOM, others)

    assert (tmp_path / "p").stat().st_mtime_ns == before


def test_a_file_that_changes_before_a_later_part_is_refused(source, tmp_path):
    parts = dict(list(RANDOM.items())[:2])
    with OtherParts(tmp_path / "p", later(parts)) as others:
        train = prepare_part(
            *(source, tmp_path / "p" / "train"),
            schema=SCHEMA,
            part=parts["train"],
            on_error="skip",
            others=others,
        )
        with open(source[1], "r+b") as file:
            file.seek(-2, os.SEEK_END)
            file.write(b"n")

        with pytest.raises(ValueError, match="b.csv changed while it was read"):
            prepare_part(
                *(source, tmp_path / "p" / "valid"),
                vocabulary=train.vocabulary,
                part=parts["valid"],
                on_error="skip",
                others=others,
            )
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["train"]
