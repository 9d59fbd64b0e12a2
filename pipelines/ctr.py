"""The experiment of the textbook "Dive into Deep Learning" (its ctr data)."""

import deepfm_tf
from deepfm_tf.experiment import Recipe, main

COLUMNS = ("label", *(f"field_{i}" for i in range(1, 35)))


def schema(min_count: int) -> deepfm_tf.Schema:
    """34 anonymous categorical fields."""
    fields = tuple(
        deepfm_tf.CategoricalField(name, min_count=min_count)
        for name in COLUMNS[1:]
    )
    return deepfm_tf.Schema(fields, label=COLUMNS[0])


RECIPE = Recipe(
    name="ctr",
    command_words=("python", "-m", "pipelines.ctr"),
    description="""\
The textbook's advertising data: TAB separated, no header, a label and 34
categorical columns; values seen fewer than 4 times share one id per field.

    {command} --train train.csv --test test.csv --model fm,deepfm
""",
    label=COLUMNS[0],
    schema=schema,
    text_format=deepfm_tf.TextFormat(
        separator="\t", column_names=COLUMNS, quoting=False
    ),
    defaults={"min_count": 4, "preset": "seed"},
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE))
