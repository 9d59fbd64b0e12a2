"""Scores raw rows with an exported model; imports TensorFlow and no more.

    python -m pipelines.score saved_models/deepfm/1 < rows.json

The input is a JSON object of columns, called like the fields or like the
inputs; the output is a JSON list of probabilities.
"""

import json
import sys

import tensorflow as tf


def main() -> None:
    """Read columns from standard input, write probabilities."""
    columns = json.load(sys.stdin)
    signatures = tf.saved_model.load(sys.argv[1]).signatures
    signature = signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    # Which input each field has.
    (told,) = signatures["fields"](rows=tf.constant([""]))["fields"].numpy()
    for field in json.loads(told)["fields"]:
        if field["name"] in columns:
            columns[field["input"]] = columns[field["name"]]
    # JSON has no NaN: null is a missing number.
    tensors = {
        name: tf.constant(
            [
                float("nan") if value is None else value
                for value in columns[name]
            ],
            dtype=spec.dtype,
        )
        for name, spec in inputs.items()
    }
    probability = signature(**tensors)["probability"]
    json.dump([float(p) for p in probability], sys.stdout)


if __name__ == "__main__":
    main()
