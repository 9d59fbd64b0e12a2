"""Values to ids, by hand and against the graph look-up."""

import collections
import math
import os
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

import deepfm_tf
from deepfm_tf.files import text
from deepfm_tf.lookup import GraphLookup, raw_dtype
from deepfm_tf.vocabulary import Vocabulary
from deepfm_tf.vocabulary.buckets import LOG_SQUARE_THRESHOLDS
from tests.conftest import make_log, make_schema

EXAMPLES = int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))


def fit(values, **arguments):
    field = deepfm_tf.CategoricalField("a", **arguments)
    schema = deepfm_tf.Schema((field,), "y")
    data = {"a": values, "y": [0, 1] + [0] * (len(values) - 2)}
    return deepfm_tf.fit_vocabulary(data, schema)


def test_values_are_ordered_by_descending_count_then_by_value():
    vocabulary = fit(["b", "c", "a", "b", "a", "é", "z"], min_count=1)

    assert vocabulary.values["a"].tolist() == ["a", "b", "c", "z", "é"]


def test_rare_values_and_unseen_ones_share_id_0_and_missing_is_1():
    vocabulary = fit(["b", "b", "c", "", "b"], min_count=2)

    ids = deepfm_tf.encode({"a": ["b", "c", "new", "", None]}, vocabulary)

    assert ids["ids"].tolist() == [[2], [0], [0], [1], [1]]


def test_missing_as_nothing_is_minus_1_and_takes_no_id():
    vocabulary = fit(["b", "b", ""], missing="nothing")

    ids = deepfm_tf.encode({"a": ["b", ""]}, vocabulary)["ids"]

    assert ids.tolist() == [[1], [-1]]
    assert vocabulary.schema.vocabulary_sizes == (2,)


def test_the_cap_counts_oov_and_missing():
    vocabulary = fit(["a"] * 3 + ["b"] * 2 + ["c"], max_vocabulary_size=3)

    assert vocabulary.values["a"].tolist() == ["a"]


def test_long_numbers_and_leading_zeros_stay_text():
    values = ["17243218809983430025", "007", "7", "007"]
    vocabulary = fit(values, min_count=1)

    assert set(vocabulary.values["a"]) == set(values)


def test_floats_that_are_whole_read_as_integers():
    vocabulary = fit(np.array([7.0, np.nan, 7.0]))

    assert vocabulary.values["a"].tolist() == ["7"]


def test_ids_do_not_depend_on_how_the_file_is_cut(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    make_log(1000).to_csv(path, index=False)
    whole = deepfm_tf.fit_vocabulary(path, make_schema())

    monkeypatch.setattr(text, "BLOCK_BYTES", 700)
    cut = deepfm_tf.fit_vocabulary(path, make_schema())

    for name, values in whole.values.items():
        assert values.tolist() == cut.values[name].tolist()
    mean, std = (cut.statistics["price"][n] for n in ("mean", "std"))
    assert mean == pytest.approx(whole.statistics["price"]["mean"], rel=1e-12)
    assert std == pytest.approx(whole.statistics["price"]["std"], rel=1e-12)


def test_shared_fields_are_counted_together():
    fields = (
        deepfm_tf.CategoricalField("a", min_count=2),
        deepfm_tf.CategoricalField("b", share_with="a"),
    )
    data = {"a": ["x", "y"], "b": ["x", "z"], "clicked": [0, 1]}

    vocabulary = deepfm_tf.fit_vocabulary(
        data, deepfm_tf.Schema(fields, "clicked")
    )

    assert vocabulary.values["a"].tolist() == ["x"]
    assert vocabulary.schema.field_tables == (0, 0)


def test_quantile_buckets_hold_as_many_rows_each():
    field = deepfm_tf.BucketizedField("a", num_buckets=4)
    data = {"a": np.arange(100.0), "y": np.arange(100) % 2}

    vocabulary = deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema((field,), "y"))
    ids = deepfm_tf.encode(data, vocabulary)["ids"][:, 0]

    assert sorted(collections.Counter(ids.tolist()).values()) == [24] + [
        25,
        25,
        26,
    ]


@pytest.mark.parametrize("heavy", [[0], [500], [1000], [0, 500, 501], [3, 1]])
def test_a_value_of_many_rows_has_a_bucket_of_its_own(heavy):
    rest = np.setdiff1d(np.arange(1001), heavy)
    column = np.concatenate([rest, np.repeat(heavy, 5_000)]).astype(float)
    field = deepfm_tf.BucketizedField("a", num_buckets=20)
    data = {"a": column, "y": np.arange(len(column)) % 2}

    vocabulary = deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema((field,), "y"))
    ids = deepfm_tf.encode(data, vocabulary)["ids"][:, 0]

    rows = collections.Counter(ids.tolist())
    assert 20 - 2 * len(heavy) <= len(rows) <= 20
    for value in heavy:
        (own,) = set(ids[column == value].tolist())
        assert rows.pop(own) == 5_000
    assert max(rows.values()) <= 1_001 / (19 - 2 * len(heavy)) + 1


def test_numeric_scalings_by_hand():
    fields = (
        deepfm_tf.NumericField("a"),
        deepfm_tf.NumericField("b", scaling="log"),
        deepfm_tf.NumericField("c", scaling="none"),
    )
    column = np.array([-3.0, 1.0, 5.0, np.nan])
    data = {"a": column, "b": column, "c": column, "y": [0, 1, 0, 1]}

    vocabulary = deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema(fields, "y"))
    values = deepfm_tf.encode(data, vocabulary)["values"]

    std = math.sqrt(32 / 3)
    np.testing.assert_allclose(
        values[:3],
        [
            [-4 / std, -math.log(4), -3],
            [0, math.log(2), 1],
            [4 / std, math.log(6), 5],
        ],
        rtol=1e-6,
        atol=1e-7,
    )
    assert np.isnan(values[3]).all()


@pytest.mark.parametrize("scaling", ["none", "standardize", "log"])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_unscaled_numbers_are_those_that_were_read(scaling, offset):
    field = deepfm_tf.NumericField("a", scaling=scaling)
    column = offset + np.array([-12.5, 0, 0.25, 3, 7, 1000, 2019])
    data = {"a": column, "y": [0, 1, 0, 1, 0, 1, 0]}

    vocabulary = deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema((field,), "y"))
    values = deepfm_tf.encode(data, vocabulary)["values"][:, 0]
    numbers = vocabulary.unscale(field, np.append(values, np.nan))

    # What float32 cannot hold is rounded off: 7.0 and no 6.9999995.
    if offset:
        np.testing.assert_allclose(numbers[:-1], column, rtol=5e-6)
        assert (numbers[:-1] % 1 == 0).all() or scaling == "none"
    else:
        assert numbers[:-1].tolist() == column.tolist()
    assert np.isnan(numbers[-1])


def test_multi_valued_fields_keep_the_first_values_and_their_weights():
    field = deepfm_tf.MultiValuedField(
        "a", max_length=2, weight_separator=":", min_count=1
    )
    data = {"a": ["x:0.5|y", "", "|y:2||x:3|x:4", "y:1"], "y": [0, 1, 0, 1]}

    with pytest.warns(UserWarning, match="1 of 4 rows have more than"):
        vocabulary = deepfm_tf.fit_vocabulary(
            data, deepfm_tf.Schema((field,), "y")
        )
    packed = deepfm_tf.encode(data, vocabulary)

    assert vocabulary.values["a"].tolist() == ["x", "y"]
    assert packed["ids"].tolist() == [[1, 2], [-1, -1], [2, 1], [2, -1]]
    assert packed["weights"].tolist() == [[0.5, 1], [1, 1], [2, 3], [1, 1]]


def test_histories_keep_the_last_values_in_their_order():
    field = deepfm_tf.MultiValuedField(
        "a", max_length=2, weight_separator=":", min_count=1, keep="last"
    )
    data = {"a": ["x:0.5|y", "", "|y:2||x:3|x:4|", "y:1"], "y": [0, 1, 0, 1]}

    with pytest.warns(UserWarning, match="only the last ones are kept"):
        vocabulary = deepfm_tf.fit_vocabulary(
            data, deepfm_tf.Schema((field,), "y")
        )
    packed = deepfm_tf.encode(data, vocabulary)

    assert packed["ids"].tolist() == [[1, 2], [-1, -1], [1, 1], [2, -1]]
    assert packed["weights"].tolist() == [[0.5, 1], [1, 1], [3, 4], [1, 1]]


def test_lists_keep_their_last_elements(tmp_path):
    values = [["x", "y", None, "z"], [], ["z"]]
    field = deepfm_tf.MultiValuedField(
        "a", max_length=2, min_count=1, keep="last"
    )
    schema = deepfm_tf.Schema((field,), "y")
    vocabulary = Vocabulary(schema, {"a": ["x", "y", "z"]}, {"a": {}})
    path = tmp_path / "log.parquet"
    pd.DataFrame({"a": values, "y": [0, 1, 0]}).to_parquet(path)

    in_memory = deepfm_tf.encode({"a": values}, vocabulary)
    of_file = deepfm_tf.encode(path, vocabulary)

    assert in_memory["ids"].tolist() == [[2, 3], [-1, -1], [3, -1]]
    assert of_file["ids"].tolist() == in_memory["ids"].tolist()


@given(
    rows=st.lists(
        st.lists(st.sampled_from(["x", "y", "", "?"]), max_size=6),
        min_size=1,
    ),
    length=st.integers(1, 4),
    missing=st.sampled_from(["value", "nothing"]),
)
@settings(max_examples=10 * EXAMPLES, deadline=None, derandomize=True)
def test_the_graph_keeps_the_last_values_that_a_list_slice_keeps(
    tmp_path_factory, rows, length, missing
):
    field = deepfm_tf.MultiValuedField(
        "a", max_length=length, min_count=1, keep="last", missing=missing
    )
    schema = deepfm_tf.Schema((field,), "y", missing_values=("?",))
    vocabulary = Vocabulary(schema, {"a": ["x", "y"]}, {"a": {}})
    first = 2 if missing == "value" else 1
    expected = []
    for row in rows:
        kept = [v for v in row if v in ("x", "y")][-length:]
        ids = ["xy".index(v) + first for v in kept]
        ids = ids or [1] * (missing == "value")
        expected.append(ids + [-1] * (length - len(ids)))
    texts = np.array(["|".join(row) for row in rows], dtype=object)

    asset = tmp_path_factory.mktemp("vocabulary") / "asset.txt"
    served = GraphLookup(vocabulary, asset)(
        {"a": tf.constant(texts, dtype=tf.string)}
    )
    encoded = deepfm_tf.encode({"a": texts}, vocabulary)

    assert served["ids"].numpy().tolist() == expected
    assert encoded["ids"].tolist() == expected


def test_what_is_kept_is_part_of_the_fingerprint_and_of_the_files(tmp_path):
    first, last = (
        Vocabulary(
            deepfm_tf.Schema(
                (deepfm_tf.MultiValuedField("a", keep=keep),), "y"
            ),
            {"a": ["x"]},
            {"a": {"rows": 1, "missing": 0}},
        )
        for keep in ("first", "last")
    )
    last.save(tmp_path / "last")
    first.save(tmp_path / "first")

    assert first.fingerprint() != last.fingerprint()
    loaded = Vocabulary.load(tmp_path / "last")
    assert loaded.schema.field("a").keep == "last"
    # What versions before 0.6 wrote has no such key.
    assert "keep" not in (tmp_path / "first" / "schema.json").read_text()
    assert Vocabulary.load(tmp_path / "first").fingerprint() == (
        first.fingerprint()
    )


def test_columns_that_teach_nothing_are_warned_of():
    fields = (
        deepfm_tf.CategoricalField("same"),
        deepfm_tf.NumericField("empty"),
        deepfm_tf.CategoricalField("rare"),
    )
    data = {
        "same": ["a"] * 2,
        "empty": [np.nan] * 2,
        "rare": ["a", "b"],
        "y": [0, 1],
    }

    with pytest.warns(UserWarning) as caught:
        deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema(fields, "y"))

    messages = " ".join(str(w.message) for w in caught)
    assert "'same' has the same value" in messages
    assert "'empty' is missing in every row" in messages
    assert "'rare' keeps no value" in messages


def test_saved_and_loaded_it_encodes_alike(vocabulary, log, tmp_path):
    vocabulary.save(tmp_path)

    loaded = Vocabulary.load(tmp_path)

    assert loaded.fingerprint() == vocabulary.fingerprint()
    packed = deepfm_tf.encode(log, vocabulary)
    for name, array in deepfm_tf.encode(log, loaded).items():
        np.testing.assert_array_equal(array, packed[name])


def test_a_damaged_vocabulary_file_is_noticed(vocabulary, tmp_path):
    vocabulary.save(tmp_path)
    path = next(tmp_path.glob("*_site.txt"))
    path.write_text("s 1\n")

    with pytest.raises(ValueError, match="directory is damaged"):
        Vocabulary.load(tmp_path)


@pytest.fixture(params=["new", "old"])
def saved(request, vocabulary, tmp_path):
    """A folder, of this version or of one that wrote no digests."""
    vocabulary.save(tmp_path)
    if request.param == "old":
        (tmp_path / "digests.json").unlink()
        assert Vocabulary.load(tmp_path).fingerprint() == (
            vocabulary.fingerprint()
        )
    return tmp_path


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("statistics.json", lambda text: text[:50]),
        ("statistics.json", lambda text: "[]"),
        ("statistics.json", lambda text: text.replace('"mean"', '"men"')),
        ("statistics.json", lambda text: text.replace('"rows"', '"row"', 1)),
        ("statistics.json", lambda text: text.replace("boundaries", "edges")),
        ("schema.json", lambda text: "{"),
        ("schema.json", lambda text: '{"label": "y", "fields": 5}'),
        ("*_site.txt", lambda text: text.replace("s 1", "s 2")),
        ("*_site.txt", lambda text: text + "s 9\n"),
        ("*_site.txt", lambda text: text.replace("s 1\n", "\n")),
        ("*_site.txt", lambda text: text.rstrip("\n")),
        ("*_site.txt", lambda text: text.replace("s 1", "\udcff")),
        ("*_site.txt", None),
        ("statistics.json", None),
    ],
)
def test_a_damaged_file_of_a_vocabulary_is_named(saved, file, damage):
    (path,) = saved.glob(file)
    text = path.read_text()
    path.unlink()
    if damage is not None:
        assert damage(text) != text
        path.write_bytes(damage(text).encode(errors="surrogateescape"))

    with pytest.raises(
        deepfm_tf.UserError, match=f"{path.name} .* The directory is damaged"
    ):
        Vocabulary.load(saved)


@pytest.mark.parametrize("file", ["*_site.txt", "statistics.json"])
def test_a_change_that_contradicts_nothing_is_noticed(
    vocabulary, tmp_path, file
):
    vocabulary.save(tmp_path)
    (path,) = tmp_path.glob(file)
    text = path.read_text()
    first, second, *rest = text.splitlines()
    if path.suffix == ".txt":
        changed = "\n".join([second, first, *rest]) + "\n"
    else:
        changed = text.replace('"std": ', '"std": 1', 1)
    path.write_text(changed)

    with pytest.raises(
        deepfm_tf.UserError, match="was changed after it was written"
    ):
        Vocabulary.load(tmp_path)


def test_digests_that_cannot_be_read_are_named(vocabulary, tmp_path):
    vocabulary.save(tmp_path)
    for content in ("{", "5", "{}"):
        (tmp_path / "digests.json").write_text(content)
        with pytest.raises(
            deepfm_tf.UserError, match="json was changed after it was"
        ):
            Vocabulary.load(tmp_path)


def test_a_folder_without_a_vocabulary_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no vocabulary"):
        Vocabulary.load(tmp_path)


NASTY = [
    "",
    " ",
    "nan",
    "s 1",
    "s 1 ",
    "\N{SNOWMAN}",
    "日本語",
    'a"b',
    "a\tb",
    "a:b",
    "a|b:2|:3|c:0.5",
    "|||",
    "0:s 1",
    "x" * 300,
    "-1",
    "?",
]


def test_the_graph_gives_the_ids_that_preparation_gives(vocabulary, tmp_path):
    random = np.random.default_rng(3)
    log = make_log(300, seed=5)
    for name in ("site", "ad", "ad2", "user", "genres"):
        odd = random.random(300) < 0.4
        log.loc[odd, name] = random.choice(NASTY, odd.sum())
    numbers = [0.0, -1e30, 3e38, 2.0, np.nan, 0.5, -0.5, 2.7182817]
    for name in ("price", "age", "count"):
        log[name] = log[name].astype(np.float64)
        odd = random.random(300) < 0.4
        log.loc[odd, name] = random.choice(numbers, odd.sum())

    expected = deepfm_tf.encode(log, vocabulary)
    lookup = GraphLookup(vocabulary, tmp_path / "asset.txt")
    raw = {
        f.name: tf.constant(log[f.name].to_numpy(), dtype=raw_dtype(f))
        for f in vocabulary.schema.fields
    }
    packed = lookup(raw)

    assert packed.keys() == expected.keys()
    np.testing.assert_array_equal(packed["ids"], expected["ids"])
    for name in ("values", "weights"):
        np.testing.assert_allclose(packed[name], expected[name], rtol=1e-6)


def test_the_graph_finds_every_bucket(tmp_path):
    random = np.random.default_rng(0)
    whole = np.arange(-40, 60, dtype=np.float32)
    large = np.exp(random.uniform(0, 80, 500)).astype(np.float32)
    edges = np.concatenate([LOG_SQUARE_THRESHOLDS[:200], whole, [2.0**24]])
    numbers = np.concatenate(
        [
            [-np.inf, np.inf, np.nan, -3e38, -(2.0**31), -(2.0**25), 3e38],
            *(np.nextafter(edges, np.float32(e)) for e in (-np.inf, np.inf)),
            edges,
            large,
        ]
    ).astype(np.float32)
    fields = (
        deepfm_tf.BucketizedField("square", "log_square", min_count=1),
        deepfm_tf.BucketizedField("rare", "log_square", min_count=3),
        deepfm_tf.BucketizedField(
            "bounds", "boundaries", boundaries=(-3, 2.5, 1e9)
        ),
        deepfm_tf.BucketizedField("tens", missing="nothing"),
    )
    schema = deepfm_tf.Schema(fields, "y")
    log = {f.name: np.resize(numbers[3::2], 900) for f in fields}
    log["y"] = np.arange(900) % 2
    vocabulary = deepfm_tf.fit_vocabulary(log, schema)

    lookup = GraphLookup(vocabulary, tmp_path / "asset.txt")
    ids = lookup({f.name: tf.constant(numbers) for f in fields})["ids"]

    finite = np.where(np.isfinite(numbers), numbers, np.nan)
    expected = vocabulary.encode({f.name: finite for f in fields})["ids"]
    np.testing.assert_array_equal(ids, expected)
    assert len(np.unique(expected[:, 0])) > 100


@pytest.mark.parametrize("names", [("tags", "price"), ("ad2", "count", "user")])
def test_the_graph_looks_up_some_of_the_fields(names, vocabulary, tmp_path):
    log = make_log(30, seed=5)
    lookup = GraphLookup(vocabulary, tmp_path / "asset.txt")
    raw = {
        f.name: tf.constant(log[f.name].to_numpy(), dtype=raw_dtype(f))
        for f in vocabulary.schema.fields
    }
    start, columns = 0, []
    for field in vocabulary.schema.id_fields:
        length = field.num_ids
        if field.name in names:
            columns += range(start, start + length)
        start += length

    whole, part = lookup(raw), lookup({name: raw[name] for name in names})

    np.testing.assert_array_equal(
        part["ids"], np.asarray(whole["ids"])[:, columns]
    )
    assert ("values" in part) == ("price" in names)
    assert ("weights" in part) == ("tags" in names)


def test_missing_markers_mean_missing_everywhere(tmp_path):
    fields = (
        deepfm_tf.CategoricalField("a", min_count=1),
        deepfm_tf.NumericField("n", scaling="none"),
        deepfm_tf.MultiValuedField("m", min_count=1),
    )
    schema = deepfm_tf.Schema(fields, "y", missing_values=("?", "-1"))
    path = tmp_path / "log.csv"
    path.write_text("a,n,m,y\n?,-1,x|?,1\nb,?,-1,0\nb,2,y,0\n")

    vocabulary = deepfm_tf.fit_vocabulary(path, schema)
    packed = deepfm_tf.encode(path, vocabulary)
    lookup = GraphLookup(vocabulary, tmp_path / "asset.txt")
    served = lookup(
        {
            "a": tf.constant(["?", "b", "b"]),
            "n": tf.constant([-1.0, np.nan, 2.0]),
            "m": tf.constant(["x|?", "-1", "y"]),
        }
    )

    assert packed["ids"][:, :3].tolist() == [
        [1, 1, -1],
        [2, -1, -1],
        [2, 2, -1],
    ]
    assert np.isnan(packed["values"][:2]).all()
    np.testing.assert_array_equal(served["ids"], packed["ids"])
    np.testing.assert_array_equal(served["values"], packed["values"])


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore:Field .* keeps no value")
def test_the_textbook_rule_on_its_own_test_file(real_data):
    from pipelines.ctr import COLUMNS, RECIPE, schema

    path = real_data / "d2l_ctr" / "test.csv"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    assert RECIPE.text_format is not None

    vocabulary = deepfm_tf.fit_vocabulary(
        path, schema(4), text_format=RECIPE.text_format
    )

    for number, name in enumerate(COLUMNS[1:], start=1):
        counts = collections.Counter(row[number] for row in rows)
        kept = [v for v, c in counts.items() if c >= 4]
        kept.sort(key=lambda v: (-counts[v], v))
        assert vocabulary.values[name].tolist() == kept


def test_ids_of_as_many_buckets_as_can_be_are_none_negative():
    vocabulary = fit([f"u{n}" for n in range(500)], hash_buckets=2**31 - 3)

    ids = deepfm_tf.encode({"a": [f"u{n}" for n in range(500)]}, vocabulary)

    assert ids["ids"].dtype == np.int32
    assert ids["ids"].min() >= 2
    assert ids["ids"].max() > 2**30


@pytest.mark.parametrize("buckets", [2**31 - 2, 2**31, 2**33])
def test_more_hash_buckets_than_ids_are_refused(buckets):
    with pytest.raises(ValueError, match="'a': `hash_buckets` must be at most"):
        deepfm_tf.CategoricalField("a", hash_buckets=buckets)


def test_more_rows_than_ids_are_refused_by_their_total():
    fields = [
        deepfm_tf.CategoricalField(name, hash_buckets=2**30) for name in "abc"
    ]

    with pytest.raises(ValueError, match="3221225472, of which 1073741824 for"):
        deepfm_tf.Schema(tuple(fields), "y")


def test_a_value_takes_at_most_sixty_bytes():
    values = pa.array([f"{n:010d}" for n in range(100_000)], pa.large_string())
    field = deepfm_tf.CategoricalField("a")
    tracemalloc.start()
    try:
        before = pa.total_allocated_bytes()
        vocabulary = Vocabulary(
            deepfm_tf.Schema((field,), "y"), {"a": values}, {"a": {}}
        )
        made = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    made += pa.total_allocated_bytes() - before + values.nbytes

    assert len(vocabulary.texts["a"]) == 100_000
    # Ten of text, eight of its place, eight of its hash, four whose it is.
    assert 100_000 * 30 <= made <= 100_000 * 60
