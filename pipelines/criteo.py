"""Criteo display advertising: 13 numeric and 26 categorical columns."""

import deepfm_tf
from deepfm_tf.experiment import Recipe, main

NUMERIC = tuple(f"I{i}" for i in range(1, 14))
CATEGORICAL = tuple(f"C{i}" for i in range(1, 27))


def schema(min_count: int) -> deepfm_tf.Schema:
    """Numbers by the challenge winners' bucket rule, then all categorical."""
    numbers = (
        deepfm_tf.BucketizedField(name, "log_square", min_count=min_count)
        for name in NUMERIC
    )
    categories = (
        deepfm_tf.CategoricalField(name, min_count=min_count)
        for name in CATEGORICAL
    )
    return deepfm_tf.Schema((*numbers, *categories), label="label")


RECIPE = Recipe(
    name="criteo",
    command_words=("python", "-m", "pipelines.criteo"),
    description="""\
Criteo's format: TAB separated, no header, a label, I1 to I13, C1 to C26. A
number x becomes floor(ln(x)^2) for x > 2, else floor(x), and is then a
category like the others; values seen fewer than 10 times share one id.

    {command} --train train.txt --model fm,deepfm
""",
    label="label",
    schema=schema,
    text_format=deepfm_tf.TextFormat(
        separator="\t",
        column_names=("label", *NUMERIC, *CATEGORICAL),
        quoting=False,
    ),
    defaults={"min_count": 10},
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE))
