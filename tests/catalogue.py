"""All models, small enough to test; dropout off, so that runs compare."""

import deepfm_tf

DEEP = {"hidden_units": (8, 4), "dropout": 0.0}
MODELS = {
    "DeepFM": (deepfm_tf.DeepFM, {"embedding_dim": 3, **DEEP}),
    "FM": (deepfm_tf.FM, {"embedding_dim": 3}),
    "WideAndDeep": (deepfm_tf.WideAndDeep, {"embedding_dim": 3, **DEEP}),
    "NFM": (deepfm_tf.NFM, {"embedding_dim": 3, **DEEP}),
    "LogisticRegression": (deepfm_tf.LogisticRegression, {}),
}


def build(name, schema, **arguments):
    """The model called `name`."""
    cls, defaults = MODELS[name]
    return cls(schema, **{**defaults, **arguments})
