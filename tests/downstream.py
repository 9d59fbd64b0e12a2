"""What a user may write: `test_backend` checks its types, nothing runs it."""

import numpy as np

import deepfm_tf
from deepfm_tf.metrics import Metrics


def train(path: str) -> tuple[deepfm_tf.DeepFM, Metrics]:
    """A model of a file, and what it reaches on it."""
    schema = deepfm_tf.infer_schema(path, label="clicked")
    data: deepfm_tf.PreparedData = deepfm_tf.prepare(
        path, "prepared", schema=schema, part=deepfm_tf.Part(0.0, 0.8, seed=1)
    )
    with deepfm_tf.create_strategy().scope():
        model = deepfm_tf.DeepFM(data.schema, hidden_units=(8,), dropout=0.1)
        deepfm_tf.compile_model(model, "lazy_adam", learning_rate=0.001)
    model.fit(
        data.dataset(512),
        callbacks=deepfm_tf.training_callbacks(data.dataset(512), "runs/x"),
    )
    metrics = deepfm_tf.evaluate(model, data.dataset(512))
    auc: float = metrics["auc"]
    rows: int = metrics["rows"]
    print(auc, rows, [entry["share"] for entry in metrics["slices"]])
    return model, metrics


def difference() -> str:
    """Of two models, from labels and probabilities."""
    label, first, second = np.array([0, 1]), np.ones(2), np.ones(2)
    found = deepfm_tf.metrics.compare_models(label, first, second)
    improvement: float = found["auc"].improvement
    row: deepfm_tf.metrics.SeedComparison
    (row, *_) = deepfm_tf.metrics.compare_over_seeds(
        "a", ["b"], [1], label, {("a", 1): first, ("b", 1): second}
    )
    return f"{improvement} {row['text']}"


def mistakes() -> None:
    """What mypy must see; it tells an ignore that nothing needs."""
    deepfm_tf.Part("0", 1.0)  # type: ignore[arg-type]
    deepfm_tf.metrics.auc("labels", np.ones(2))  # type: ignore[arg-type]
    print(deepfm_tf.binary_metrics)  # type: ignore[attr-defined]
    print(deepfm_tf.evaluate(1, 2)["area"])  # type: ignore[typeddict-item]
