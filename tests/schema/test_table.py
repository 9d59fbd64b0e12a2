"""The table of a schema stays a table, whatever columns are called."""

import numpy as np
import pandas as pd

from deepfm_tf import CategoricalField, infer_schema
from deepfm_tf.schema.table import schema_table


def test_a_name_of_several_lines_is_one_line():
    table = schema_table([CategoricalField("the\nsite\t(a)")], ())

    assert table.splitlines() == [
        "column          kind         reason",
        "the\\nsite\\t(a)  categorical",
    ]


def test_the_middle_of_a_long_name_is_left_out():
    names = [f"{'very ' * 60}long {end}" for end in ("one", "two")]

    table = schema_table([CategoricalField(name) for name in names], ())

    # 24 characters, three points and 13 characters.
    assert table.splitlines() == [
        f"{'column':<40}  kind         reason",
        "very very very very very...very long one  categorical",
        "very very very very very...very long two  categorical",
    ]


def test_the_reasons_of_such_columns_stand_in_their_lines():
    frame = pd.DataFrame(
        {
            "a\nb": list("xyz") * 100,
            "q" * 500: np.arange(300) % 7 / 2,
            "click": [0, 1, 0] * 100,
        }
    )

    table = infer_schema(frame, "click").summary()

    head, first, second = table.splitlines()
    assert head.split() == ["column", "kind", "reason"]
    assert first.split(maxsplit=2)[:2] == ["a\\nb", "categorical"]
    assert first.endswith("text of 3 different values")
    assert second.split()[0] == f"{'q' * 24}...{'q' * 13}"
