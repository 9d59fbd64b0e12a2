"""Context and candidates are told apart by the signature."""

import pandas as pd
import pytest

from deepfm_tf.serving.client.rank import rank_columns
from deepfm_tf.serving.client.signature import Signature, TensorInfo

ONE, MANY = TensorInfo("string", (1,)), TensorInfo("string", (None,))
OUTPUTS = {"probability": TensorInfo("float32", (None,))}
RANK = Signature("", {"user": ONE, "ad": MANY}, OUTPUTS)


@pytest.mark.parametrize(
    "context",
    [
        {"user": "u", "unused": 1},
        pd.Series({"user": "u"}),
        [{"user": "u"}],
        pd.DataFrame({"user": ["u"]}),
    ],
)
def test_contexts_of_all_kinds(context):
    columns = rank_columns(context, [{"ad": "a"}, {"ad": "b"}], RANK, "rank")

    assert list(columns["ad"]) == ["a", "b"]
    assert list(columns["user"]) in (["u"], list("u"))


def test_the_candidates_own_copy_of_the_context_is_not_used():
    frame = pd.DataFrame({"ad": ["a", "b"], "user": ["x", "y"]})

    columns = rank_columns({"user": "u"}, frame, RANK, "rank")

    assert columns["user"] == "u"


def test_a_field_on_the_wrong_side_is_named():
    with pytest.raises(ValueError, match="'ad' differs .*in `candidates`"):
        rank_columns({"user": "u", "ad": "a"}, {}, RANK, "rank")
    with pytest.raises(ValueError, match="'user' is one value .*`context`"):
        rank_columns({}, {"user": ["u"], "ad": ["a"]}, RANK, "rank")


@pytest.mark.parametrize("inputs", [{"user": ONE}, {"ad": MANY}])
def test_other_signatures_are_refused(inputs):
    signature = Signature("", inputs, OUTPUTS)

    with pytest.raises(ValueError, match="context inputs of shape.*`predict`"):
        rank_columns({"user": "u"}, {"ad": ["a"]}, signature, "x")
