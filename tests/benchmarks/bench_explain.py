"""What explanations are worth, on clicks with planted pairs, and their cost.

Trains all models on the made-up clicks of `pipelines.synthetic`, whose three
pairs of fields are known, and prints where they rank, the largest error of
the attributions, and the milliseconds of a request to `explain`, over gRPC,
from the local server.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import deepfm_tf
from deepfm_tf.serving import PredictClient
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from pipelines import synthetic
from tests.benchmarks import arguments, serving_model
from tests.benchmarks.machine import emit

MODELS = {
    "LogisticRegression": {},
    "FM": {},
    "WideAndDeep": {"hidden_units": (30, 20, 10)},
    "NFM": {"hidden_units": (30, 20, 10)},
    "DeepFM": {"hidden_units": (30, 20, 10)},
}
PLANTED = {
    "site × advertiser",
    "user_segment × advertiser",
    "device × hour",
}
EXPLAINED_ROWS = 1000


def trained(
    name: str, rows: pd.DataFrame, vocabulary: Any, epochs: int
) -> deepfm_tf.CTRModel:
    """A model called `name`, as the recipes train it."""
    deepfm_tf.set_seed(1)
    model = getattr(deepfm_tf, name)(vocabulary.schema, **MODELS[name])
    deepfm_tf.compile_model(model, learning_rate=0.01)
    dataset = deepfm_tf.dataset_from_memory(
        rows, vocabulary, 2048, shuffle=True, seed=1
    )
    model.fit(dataset, epochs=epochs, verbose=0, shuffle=False)
    return model


def ranking(model: deepfm_tf.CTRModel, test: Any) -> list[str]:
    """The pairs of fields with their strengths, the strongest first."""
    strengths = deepfm_tf.explain.field_strengths(model, test)
    return [
        f"{term['term']} {term['strength']:.3f}"
        + " (planted)" * _is_planted(term["term"])
        for term in strengths.ranking()
        if term["kind"] == "pair"
    ][:6]


def _is_planted(term: str) -> bool:
    return {*term.split(" × ")} in [{*pair.split(" × ")} for pair in PLANTED]


def largest_error(
    model: deepfm_tf.CTRModel, rows: pd.DataFrame, test: Any, vocabulary: Any
) -> dict[str, float]:
    """How far the terms of some rows are from adding up to the logit."""
    explainer = deepfm_tf.Explainer(model, test)
    packed = deepfm_tf.encode(rows.head(EXPLAINED_ROWS), vocabulary)
    result = explainer.explain(packed)
    return {
        "largest_error": float(np.abs(result.completeness_error).max()),
        "largest_logit": float(np.abs(result.logit).max()),
    }


def milliseconds(directory: Path, seconds: float) -> dict[str, float]:
    """Medians of requests for 1, 10 and 100 rows of Criteo's shape."""
    serving_model.export(directory, explains=True)
    options = Options(
        port=0, model_name="criteo", model_base_path=str(directory)
    )
    found = {}
    with (
        Server(options) as server,
        PredictClient(f"localhost:{server.port}", "criteo") as client,
    ):
        for signature in ("serving_default", "explain"):
            for size in (1, 10, 100):
                rows = serving_model.rows(size, repeat_context=False)
                times = []
                begin = now = time.perf_counter()
                while now < begin + seconds:
                    client.predict(rows, signature=signature)
                    before, now = now, time.perf_counter()
                    times.append((now - before) * 1e3)
                found[f"{signature}, {size}"] = statistics.median(times)
    return found


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of each size of a request"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        times = milliseconds(Path(directory), options.seconds)
    emit({"benchmark": "explain", "milliseconds": times}, options.output)
    rows, _ = synthetic.make_rows(options.rows, 0)
    test_rows, _ = synthetic.make_rows(options.rows, 2)
    vocabulary = deepfm_tf.fit_vocabulary(rows, synthetic.schema(2))
    test = deepfm_tf.dataset_from_memory(test_rows, vocabulary, 4096)
    for name in MODELS:
        model = trained(name, rows, vocabulary, options.epochs)
        result: dict[str, Any] = largest_error(
            model, test_rows, test, vocabulary
        )
        if model.has_pairs:
            result["strongest_pairs"] = ranking(model, test)
        emit({"benchmark": "explain", "model": name, **result}, options.output)


if __name__ == "__main__":
    main()
