"""A model and its preprocessing as one SavedModel for TensorFlow Serving."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from deepfm_tf.fields import BucketizedField, MultiValuedField, NumericField
from deepfm_tf.lookup import GraphLookup, raw_dtype
from deepfm_tf.models import CTRModel
from deepfm_tf.vocabulary import (
    Columns,
    Vocabulary,
    numeric_missing_values,
)

# Rows of the self-check, and how far the two may be apart: float32 sums in
# another order. A wrong id shows in the first digits.
_CHECK_ROWS = 64
_CHECK_TOLERANCE = 1e-6


def export_saved_model(
    model: CTRModel, vocabulary: Vocabulary, directory: str | Path
) -> Path:
    """Write the next version of a servable that takes raw values.

    The signature `serving_default` takes each field under its own name
    (`schema.signature_names`, where TensorFlow does not allow it), shape
    `(batch,)`: strings for categorical and multi-valued fields, float32 for
    numeric and bucketized ones; the empty string and NaN are missing. It
    returns `probability`, shape `(batch,)`, float32.

    Before anything is published, the SavedModel is loaded again and compared
    with the model on rows with known, unseen and missing values. It appears
    under its version number all at once, so that a server that polls the
    directory never sees half of it.

    Args:
        model: a trained model.
        vocabulary: the Vocabulary that its training data was prepared with.
        directory: TF Serving's `model_base_path`, such as
            `saved_models/deepfm`.

    Returns:
        Path of the new version, `<directory>/<version>`.

    Raises:
        ValueError: the vocabulary is not the model's, or a weight is NaN.
        RuntimeError: the SavedModel does not agree with the model.

    Example:

    >>> import tempfile
    >>> from deepfm_tf import CategoricalField, DeepFM, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> model = DeepFM(vocabulary.schema)
    >>> export_saved_model(model, vocabulary, tempfile.mkdtemp()).name
    '1'
    """
    _check_arguments(model, vocabulary)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # Not a number, so TF Serving does not look at it; a sibling, so that the
    # rename below stays on one file system.
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=directory))
    try:
        saved_model = temporary / "saved_model"
        _write(model, vocabulary, saved_model, temporary)
        _check(model, vocabulary, saved_model)
        _sync_tree(saved_model)
        os.chmod(saved_model, 0o755)
        return _publish(saved_model, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_arguments(model: CTRModel, vocabulary: Vocabulary) -> None:
    if not isinstance(model, CTRModel):
        raise TypeError(
            "`model` must be a model of this package. Received: "
            f"{type(model).__name__}."
        )
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(
            "`vocabulary` must be the Vocabulary of the prepared training data "
            "(`prepared.vocabulary`). Received: "
            f"{type(vocabulary).__name__}."
        )
    if model.schema.to_dict() != vocabulary.schema.to_dict():
        raise ValueError(
            "`vocabulary` must be the one the model was built for: "
            "`vocabulary.schema` and `model.schema` differ. Pass the "
            "vocabulary of the prepared training data."
        )
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ValueError(
                f"The weight '{weight.path}' must be finite to be served, but "
                "holds NaN or infinity: the model has diverged. Train with a "
                "smaller learning rate."
            )


def _write(
    model: CTRModel, vocabulary: Vocabulary, path: Path, temporary: Path
) -> None:
    names = vocabulary.schema.signature_names
    specification = {
        names[field.name]: tf.TensorSpec(
            (None,), raw_dtype(field), name=names[field.name]
        )
        for field in vocabulary.schema.fields
    }
    lookup = GraphLookup(vocabulary, temporary / "vocabulary.txt")

    @tf.function(input_signature=[specification], autograph=False)
    def serving_default(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        packed = lookup({field: raw[name] for field, name in names.items()})
        probability = model(packed, training=False)["probability"]
        return {"probability": tf.reshape(probability, [-1])}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.track(lookup)
    archive.add_endpoint("serving_default", serving_default)
    archive.write_out(str(path), verbose=False)


def _check(model: CTRModel, vocabulary: Vocabulary, path: Path) -> None:
    """Compare the SavedModel with the model; differences are fatal."""
    raw, columns = _check_rows(vocabulary)
    packed = vocabulary.encode(columns)
    expected = _probabilities(model, packed)
    loaded = tf.saved_model.load(str(path))
    names = vocabulary.schema.signature_names
    served = loaded.signatures["serving_default"](
        **{names[name]: tf.constant(value) for name, value in raw.items()}
    )["probability"].numpy()
    difference = np.abs(served - expected)
    if difference.max() <= _CHECK_TOLERANCE:
        return
    # Where large terms cancel, the model itself is less exact than that.
    rows = [
        _probabilities(model, {k: v[row : row + 1] for k, v in packed.items()})
        for row in range(_CHECK_ROWS)
    ]
    rounding = np.abs(np.concatenate(rows) - expected).max()
    if not difference.max() <= 4 * rounding:
        row = int(np.argmax(np.nan_to_num(difference, nan=np.inf)))
        values = {name: value[row] for name, value in raw.items()}
        raise RuntimeError(
            "The SavedModel must give the model's probabilities; nothing was "
            f"published. Received: {served[row]} where the model gives "
            f"{expected[row]}, for the row {values}. Please report this."
        )


def _probabilities(
    model: CTRModel, packed: Mapping[str, np.ndarray]
) -> np.ndarray:
    probability = model(packed, training=False)["probability"]
    return keras.ops.convert_to_numpy(probability)[:, 0]


def _check_rows(
    vocabulary: Vocabulary,
) -> tuple[dict[str, np.ndarray], Columns]:
    """Rows of known, unseen and missing values: raw, and as columns."""
    random = np.random.default_rng(0)
    raw: dict[str, np.ndarray] = {}
    columns: dict[str, pa.Array | np.ndarray] = {}
    for field in vocabulary.schema.fields:
        if isinstance(field, (NumericField, BucketizedField)):
            statistics = vocabulary.statistics[field.name]
            low = statistics.get("minimum", -1.0)
            high = statistics.get("maximum", 1.0)
            numbers = random.uniform(low, high, _CHECK_ROWS).astype(np.float32)
            numbers[:3] = (low, high, np.nan)
            numbers = random.permutation(numbers)
            raw[field.name] = numbers
            markers = numeric_missing_values(vocabulary.schema)
            is_missing = np.isin(numbers, markers)
            columns[field.name] = np.where(is_missing, np.nan, numbers).astype(
                np.float32
            )
            continue
        owner = vocabulary.schema.owner(field).name
        known = vocabulary.values.get(owner, np.empty(0, object)).tolist()
        # The most frequent values, the rarest, an unseen one, and none.
        values = [*known[:16], *known[-16:], "never seen \N{SNOWMAN}", ""]
        texts = random.choice(np.array(values, dtype=object), _CHECK_ROWS)
        texts[:2] = values[-2:]
        if isinstance(field, MultiValuedField):
            other = random.permutation(texts)
            weight = f"{field.weight_separator}0.5" * bool(
                field.weight_separator
            )
            texts = texts + weight + field.separator + other + weight
            texts[:1] = ""
        texts = random.permutation(texts)
        raw[field.name] = texts
        column = pa.array(texts, pa.string())
        missing = pa.array(["", *vocabulary.schema.missing_values])
        is_missing = pc.is_in(column, value_set=missing)
        columns[field.name] = pc.if_else(is_missing, None, column)
    return raw, columns


def _publish(saved_model: Path, directory: Path) -> Path:
    version = 1 + max(
        (int(p.name) for p in directory.iterdir() if p.name.isdecimal()),
        default=0,
    )
    while True:
        target = directory / str(version)
        try:
            # Fails if another exporter has taken the number meanwhile.
            os.rename(saved_model, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            version += 1
            continue
        _sync(directory)
        return target


def _sync_tree(path: Path) -> None:
    for parent, _, files in os.walk(path):
        for name in files:
            _sync(Path(parent) / name)
        _sync(Path(parent))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
