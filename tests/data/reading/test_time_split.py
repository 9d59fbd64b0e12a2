import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.data.reading import stamps, time_split

# Of a month.
DAYS = range(1, 11)


def write_log(directory, kind):
    """Three files of 300 rows whose times are mixed over all of them."""
    random = np.random.default_rng(3)
    seconds = random.integers(0, 30 * 86_400, 900)
    times = pd.Timestamp("2024-01-20") + pd.to_timedelta(seconds, unit="s")
    frame = pd.DataFrame(
        {"at": times, "place": np.arange(900) % 7, "click": seconds % 2}
    )
    frame["row"] = [f"r{number}" for number in range(900)]
    paths = []
    for number in range(3):
        path = directory / f"{number}.{kind}"
        part = frame.iloc[300 * number : 300 * (number + 1)]
        if kind == "csv":
            part.to_csv(path, index=False)
        else:
            part.to_parquet(path)
        paths.append(path)
    return paths, frame


def prepare(source, part, directory, on_error="raise", **schema):
    """A part, with the field `row`."""
    field = deepfm_tf.CategoricalField("row", min_count=1)
    return deepfm_tf.prepare(
        source,
        directory,
        schema=deepfm_tf.Schema((field,), "click", **schema),
        part=part,
        on_error=on_error,
    )


def rows_of(source, part, directory):
    """The values of the field `row` that a part holds."""
    return set(prepare(source, part, directory).vocabulary.values["row"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_no_row_of_a_part_is_later_than_any_of_the_next(kind, tmp_path):
    paths, frame = write_log(tmp_path, kind)

    parts = deepfm_tf.split_by_time(paths, "at")

    found = [
        rows_of(paths, part, tmp_path / str(number))
        for number, part in enumerate(parts)
    ]
    times = [frame["at"][frame["row"].isin(rows)] for rows in found]
    assert times[0].max() < times[1].min()
    assert times[1].max() < times[2].min()
    assert sorted(set().union(*found)) == sorted(frame["row"])
    assert [len(rows) for rows in found] == pytest.approx([720, 90, 90], abs=3)


def test_zones_do_not_mix_the_order_up():
    log = {"at": ["2024-01-01 01:00+03:00", "2023-12-31 23:00Z", "2024-01-01"]}

    train, test = deepfm_tf.split_by_time(log, "at", (0.4,))

    midnight = np.datetime64("2023-12-31T23:00", "us")
    assert np.datetime64(test.start, "us") == midnight
    assert train.stop == test.start


def test_rows_of_one_moment_stay_together_and_no_part_is_empty():
    days = ["2024-01-01"] * 97 + ["2024-01-02", "2024-01-03", "2024-01-03"]

    parts = deepfm_tf.split_by_time({"day": days}, "day")

    starts = [np.datetime64(p.start, "us").item().day for p in parts[1:]]
    assert starts == [2, 3]


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (["2024-01-01", "2024-01-02"] * 5, "at least 3 different times.*: 2"),
        (["2024-01-01", "soon"], "row 2, column 'day'.* this is 'soon'"),
        (["2024-01-01", None], "row 2, column 'day'.* this is missing"),
        ([1.7e9, 1.7e18], "row 2, column 'day'.*but 1.7e.18 is a whole number"),
    ],
)
def test_a_column_that_cannot_split_is_refused(days, message):
    with pytest.raises(ValueError, match=message):
        deepfm_tf.split_by_time({"day": days}, "day")


def test_rows_without_a_time_are_rejected_once_and_told(tmp_path):
    frame = pd.DataFrame(
        {
            "day": ["2024-01-01", "", "2024-01-04", "2024-01-02", "20240103"],
            "row": list("abcde"),
            "click": [0, 1, 0, 1, 1],
        }
    )
    frame.loc[5] = ["soon", "f", 0]
    path = tmp_path / "log.csv"
    frame.to_csv(path, index=False)

    with pytest.warns(
        UserWarning, match="^2 rows have no .*time in 'day'. .*are reje"
    ):
        parts = deepfm_tf.split_by_time(path, "day", (0.5,), on_error="skip")

    prepared = [
        prepare(path, part, tmp_path / str(number), "skip")
        for number, part in enumerate(parts)
    ]
    found = [set(p.vocabulary.values["row"]) for p in prepared]
    assert found == [{"a", "d"}, {"c", "e"}]
    assert [p.num_rejected for p in prepared] == [2, 0]
    rejected = pd.read_csv(prepared[0].directory / "rejected.csv")
    assert rejected["line"].tolist() == [3, 7]
    assert set(rejected["column"]) == {"day"}
    assert [reason.split(", but ")[1] for reason in rejected["reason"]] == [
        "this is missing",
        "this is 'soon'",
    ]
    with pytest.raises(
        deepfm_tf.UserError,
        match="log.csv, line 3, column 'day': each row must have a time .* but "
        'this is missing.*on_error="skip"',
    ):
        prepare(path, parts[0], tmp_path / "other")


def test_a_time_that_means_missing_is_none(tmp_path):
    log = {
        "day": ["1900-01-01", "2024-01-01", "2024-01-02", "2024-01-03"],
        "row": list("abcd"),
        "click": [0, 1, 0, 1],
    }
    marks = ["1900-01-01"]

    with pytest.raises(ValueError, match="row 1, column 'day'.* is missing"):
        deepfm_tf.split_by_time(log, "day", missing_values=marks)
    with pytest.warns(
        UserWarning, match="^1 rows have no readable time in 'day'"
    ):
        first, _ = deepfm_tf.split_by_time(
            log, "day", (0.6,), on_error="skip", missing_values=marks
        )

    prepared = prepare(
        log, first, tmp_path / "p", "skip", missing_values=tuple(marks)
    )
    assert prepared.vocabulary.values["row"].tolist() == ["b", "c"]
    assert prepared.num_rejected == 1


def test_what_is_done_with_rows_without_a_time_is_checked():
    with pytest.raises(ValueError, match="`on_error` must be one of.*'skpi'"):
        deepfm_tf.split_by_time({"day": [1]}, "day", on_error="skpi")


def test_cuts_of_many_rows_come_from_a_sample(monkeypatch):
    monkeypatch.setattr(time_split, "SAMPLE_ROWS", 2000)
    seconds = np.random.default_rng(1).permutation(150_000) + 10**9

    train, test = deepfm_tf.split_by_time({"at": seconds}, "at", (0.8,))

    # 5 standard errors of a sample of 2000.
    share = (test.start / 10**6 - 10**9) / 150_000
    assert share == pytest.approx(0.8, abs=5 * (0.16 / 2000) ** 0.5)


def test_a_part_needs_an_interval():
    with pytest.raises(ValueError, match="start < stop"):
        deepfm_tf.TimePart("at", 5, 5)
    with pytest.raises(ValueError, match="`negative_sampling` must be"):
        deepfm_tf.TimePart("at", 5, 6, negative_sampling=0.0)


def test_other_times_in_memory_are_prepared_anew(tmp_path):
    days = [f"2024-01-{day:02}" for day in range(1, 11)]
    log = {"row": [f"r{number}" for number in range(10)], "click": [0, 1] * 5}
    _, latest = deepfm_tf.split_by_time({"day": days}, "day", (0.8,))
    rows_of({**log, "day": days}, latest, tmp_path / "part")

    rows = rows_of({**log, "day": days[::-1]}, latest, tmp_path / "part")

    assert rows == {"r0", "r1"}


def test_files_that_cannot_have_changed_are_not_read_again(
    tmp_path, monkeypatch
):
    path, kept = tmp_path / "log.csv", tmp_path / "new" / "cuts.json"
    path.write_text("at,x\n" + "".join(f"2024-01-{d:02},1\n" for d in DAYS))
    # As of a file that was written long ago.
    monkeypatch.setattr(stamps.Stamp, "is_settled", lambda stamp: True)
    monkeypatch.setattr(stamps.Stamp, "is_local", lambda stamp: True)

    def split(**options):
        return deepfm_tf.split_by_time(path, "at", kept=kept, **options)

    first = split()
    with monkeypatch.context() as patch:
        patch.setattr(time_split, "read_blocks", None)
        assert split() == first
        for other in ({"shares": (0.5,)}, {"missing_values": ["2024-01-01"]}):
            with pytest.raises(TypeError):  # it wants to read
                split(**other)
    path.write_text("at,x\n" + "".join(f"2025-01-{d:02},1\n" for d in DAYS))

    later = split()

    years = [np.datetime64(p.start, "us").item().year for p in later[1:]]
    assert years == [2025, 2025]
    assert later[1].start != first[1].start


def test_a_file_that_may_still_change_is_read_again(tmp_path, monkeypatch):
    path, kept = tmp_path / "log.csv", tmp_path / "cuts.json"
    path.write_text("at,x\n" + "".join(f"2024-01-{d:02},1\n" for d in DAYS))
    monkeypatch.setattr(stamps.Stamp, "is_settled", lambda stamp: False)

    deepfm_tf.split_by_time(path, "at", kept=kept)

    assert not kept.exists()
