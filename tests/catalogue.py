"""All models, small enough to test, without what differs in training.

That is dropout and batch normalization; and large embeddings to start from,
so that every term shows.
"""

import deepfm_tf

VECTORS = {"embedding_dim": 3, "embeddings_initializer": "glorot_uniform"}
DEEP = {
    **VECTORS,
    "hidden_units": (8, 4),
    "dropout": 0.0,
    "batch_normalization": False,
}
MODELS = {
    "DeepFM": (deepfm_tf.DeepFM, DEEP),
    "FM": (deepfm_tf.FM, VECTORS),
    "WideAndDeep": (deepfm_tf.WideAndDeep, DEEP),
    "NFM": (deepfm_tf.NFM, DEEP),
    "LogisticRegression": (deepfm_tf.LogisticRegression, {}),
}


def build(name, schema, **arguments):
    """The model called `name`."""
    cls, defaults = MODELS[name]
    return cls(schema, **{**defaults, **arguments})
