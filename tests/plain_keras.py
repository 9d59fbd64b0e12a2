"""A DeepFM of stock Keras layers, one table per field, to be compared with."""

import itertools

import keras
from keras import ops

MOMENTUM, EPSILON = 0.9, 1e-5  # those of DensePyramid


def plain_deepfm(model, l2):
    """What `model` computes, in Keras's own layers and with its weights.

    Every embedding, latent or first-order, has the penalty l2 / 2 ||W||^2.

    Args:
        model: deepfm_tf.DeepFM of categorical fields only.
        l2: float.
    """

    def embedding(size, dim):
        return keras.layers.Embedding(
            size,
            dim,
            embeddings_initializer="zeros",
            embeddings_regularizer=keras.regularizers.L2(l2 / 2),
        )

    sizes = model.schema.vocabulary_sizes
    ids = keras.Input((len(sizes),), dtype="int32", name="ids")
    latent = [embedding(size, model.embedding_dim) for size in sizes]
    first_order = [embedding(size, 1) for size in sizes]
    # Of zeros, for the sake of its bias.
    bias = keras.layers.Dense(1, kernel_initializer="zeros")
    vectors = [table(ids[:, i]) for i, table in enumerate(latent)]
    logits = ops.sum(
        ops.stack([table(ids[:, i]) for i, table in enumerate(first_order)]),
        axis=0,
    )
    logits = ops.add(logits, bias(ops.zeros_like(logits)))
    for left, right in itertools.combinations(vectors, 2):
        product = ops.sum(ops.multiply(left, right), axis=1, keepdims=True)
        logits = ops.add(logits, product)
    hidden = ops.concatenate(vectors, axis=1)
    hidden_layers = []
    for units in model.hidden_units:
        is_normalized = model.batch_normalization
        layers = [keras.layers.Dense(units, use_bias=not is_normalized)]
        if is_normalized:
            layers.append(
                keras.layers.BatchNormalization(
                    momentum=MOMENTUM, epsilon=EPSILON
                )
            )
        layers.append(keras.layers.Activation("relu"))
        layers.append(keras.layers.Dropout(model.dropout))
        for layer in layers:
            hidden = layer(hidden)
        hidden_layers.append(layers)
    output = keras.layers.Dense(1)
    logits = ops.add(logits, output(hidden))
    probability = keras.layers.Activation("sigmoid")(logits)
    twin = keras.Model({"ids": ids}, {"probability": probability})

    table = model.shared_embedding.embeddings.numpy()
    start = 0
    for vectors, weights, size in zip(latent, first_order, sizes, strict=True):
        rows = table[start : start + size]
        vectors.embeddings.assign(rows[:, :-1])
        weights.embeddings.assign(rows[:, -1:])
        start += size
    bias.bias.assign([model.linear_term.bias.numpy()])
    pyramid = model.dense_pyramid
    for index, layers in enumerate(hidden_layers):
        layers[0].set_weights(pyramid.dense_layers[index].get_weights())
        if model.batch_normalization:
            layers[1].set_weights(
                pyramid.normalization_layers[index].get_weights()
            )
        if model.dropout:
            # The same masks are drawn.
            layers[-1].seed_generator.state.assign(
                pyramid.dropout_layers[index].seed_generator.state
            )
    output.set_weights(pyramid.output_layer.get_weights())
    return twin
