"""Small models with every kind of field, and their terms by plain loops."""

import functools

import numpy as np

from tests import reference
from tests.catalogue import build
from tests.models.test_ctr_model import SCHEMA
from tests.test_conformance import expected_features, randomize

FIELDS = ("a", "t", "u", "x", "z")


def small_model(name, seed=0):
    """The model called `name` on `SCHEMA`, with random weights."""
    deep = {"embedding_dim": 2, "hidden_units": (4, 3)}
    arguments = {
        "LogisticRegression": {},
        "FM": {"embedding_dim": 2},
    }.get(name, deep)
    model = build(name, SCHEMA, **arguments)
    randomize(model, seed)
    model.set_weights([2 * weight for weight in model.get_weights()])
    return model


@functools.cache
def shared_model(name):
    """That model, one for all tests that leave its weights as they are."""
    return small_model(name)


def small_rows(num_rows, seed=0):
    """Packed inputs: masked, missing, weighted, shared and numeric."""
    random = np.random.default_rng(seed)
    sizes = [3, 4, 4, 4, 4, 4]
    ids = np.stack([random.integers(-1, n, num_rows) for n in sizes], axis=1)
    values = random.normal(size=(num_rows, 2)).astype("float32")
    values[random.random(values.shape) < 0.3] = np.nan
    weights = random.uniform(0.2, 2, (num_rows, 3)).astype("float32")
    weights[ids[:, 1:4] < 0] = np.nan  # nobody may look at these
    return {"ids": ids.astype("int32"), "values": values, "weights": weights}


def pooled(model, packed):
    """(rows, fields, k) vectors and (rows, fields) first-order terms."""
    table = np.array(model.embedding_layer.embeddings, "float64")
    sums = []
    for fields in expected_features(model.schema, packed):
        sums.append([])
        for entries in fields:
            total = np.zeros(table.shape[1])
            for row, x in entries:
                total += x * table[row]
            sums[-1].append(total)
    sums = np.array(sums)
    return sums[:, :, :-1], sums[:, :, -1]


def pair_terms(vectors):
    """(rows, pairs): inner products, pair by pair."""
    return np.array(
        [
            [
                sum(
                    float(a) * float(b) for a, b in zip(v[i], v[j], strict=True)
                )
                for i in range(len(v))
                for j in range(i + 1, len(v))
            ]
            for v in vectors
        ]
    )


def deep_part(model, vectors):
    """The pyramid's part of the logit for (rows, fields, k) vectors."""
    arrays = [np.array(w, "float64") for w in model.dense_pyramid.weights]
    hidden = np.reshape(vectors, (len(vectors), -1))
    if hasattr(model, "bi_interaction"):
        hidden = reference.bi_interaction(vectors)
    return reference.mlp(hidden, arrays[::2], arrays[1::2])[:, 0]


def integrated_gradients(model, vectors, baseline, num_points):
    """(fields,): midpoints of the line, gradients by finite differences."""
    way = vectors - baseline
    middles = (np.arange(num_points) + 0.5) / num_points
    points = baseline + way * middles[:, None, None]
    total = np.zeros(len(vectors))
    for field, component in np.ndindex(way.shape):
        step = np.zeros(way.shape)
        step[field, component] = 1e-6
        above = deep_part(model, points + step)
        below = deep_part(model, points - step)
        slope = np.mean(above - below) / 2e-6
        total[field] += slope * way[field, component]
    return total


def logits(model, packed):
    """From the model's probabilities, float64."""
    p = np.array(model(packed, training=False)["probability"], "float64")
    return np.log(p / (1 - p))[:, 0]
