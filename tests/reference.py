"""The papers' equations as plain loops in float64, to test against.

Nothing here is vectorised, rewritten for speed or shared with the package: a
double loop over field pairs stands as a double loop over field pairs.
"""

from collections.abc import Callable, Sequence

import numpy as np


def pooled_embeddings(
    table: np.ndarray,
    ids: np.ndarray,
    vocabulary_sizes: Sequence[int],
    columns_per_field: Sequence[int] | None = None,
    field_tables: Sequence[int] | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Sums `x_c v_c` over a field's id columns; negative ids add nothing."""
    if field_tables is None:
        field_tables = range(len(vocabulary_sizes))
    if columns_per_field is None:
        columns_per_field = [1] * len(field_tables)
    batch, dim = len(ids), table.shape[1]
    pooled = np.zeros((batch, len(field_tables), dim))
    for example in range(batch):
        column = 0
        for field, block in enumerate(field_tables):
            first_row = sum(vocabulary_sizes[:block])
            for _ in range(columns_per_field[field]):
                id_ = int(ids[example, column])
                if id_ >= 0:
                    x = (
                        1.0
                        if weights is None
                        else float(weights[example, column])
                    )
                    for k in range(dim):
                        value = float(table[first_row + id_, k])
                        pooled[example, field, k] += x * value
                column += 1
    return pooled


def linear_term(
    first_order: np.ndarray, ids: np.ndarray, bias: float, *args, **kwargs
) -> np.ndarray:
    """`w_0 + sum_i w_i x_i` [Rendle, 2010, equation 1]; rest as above."""
    pooled = pooled_embeddings(
        np.reshape(first_order, (-1, 1)), ids, *args, **kwargs
    )
    logits = np.zeros((len(ids), 1))
    for example in range(len(ids)):
        logits[example, 0] = float(bias)
        for field in range(pooled.shape[1]):
            logits[example, 0] += pooled[example, field, 0]
    return logits


def bi_interaction(embeddings: np.ndarray) -> np.ndarray:
    """`sum_{i<j} v_i * v_j`, elementwise [He and Chua, 2017, equation 3]."""
    batch, num_fields, dim = np.shape(embeddings)
    pooled = np.zeros((batch, dim))
    for example in range(batch):
        for i in range(num_fields):
            for j in range(i + 1, num_fields):
                for k in range(dim):
                    left = float(embeddings[example][i][k])
                    right = float(embeddings[example][j][k])
                    pooled[example, k] += left * right
    return pooled


def fm_interaction(embeddings: np.ndarray) -> np.ndarray:
    """`sum_{i<j} <v_i, v_j>` [Rendle, 2010, equation 1], shape (batch, 1)."""
    batch, num_fields, dim = np.shape(embeddings)
    logits = np.zeros((batch, 1))
    for example in range(batch):
        for i in range(num_fields):
            for j in range(i + 1, num_fields):
                for k in range(dim):
                    left = float(embeddings[example][i][k])
                    right = float(embeddings[example][j][k])
                    logits[example, 0] += left * right
    return logits


def relu(value: float) -> float:
    return value if value > 0.0 else 0.0


def mlp(
    inputs: np.ndarray,
    kernels: Sequence[np.ndarray],
    biases: Sequence[np.ndarray],
    activation: Callable[[float], float] = relu,
) -> np.ndarray:
    """`z^l = a(W^l z^(l-1) + b^l)`, the last map without `a`, without dropout.

    [Guo et al., 2017, equation 4]; `kernels[l][i, j]` joins input i to unit j.
    """
    batch = len(inputs)
    hidden = np.array(inputs, "float64")
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        is_last = layer == len(kernels) - 1
        units = kernel.shape[1]
        outputs = np.zeros((batch, units))
        for example in range(batch):
            for unit in range(units):
                value = float(bias[unit])
                for feature in range(kernel.shape[0]):
                    weight = float(kernel[feature, unit])
                    value += hidden[example, feature] * weight
                outputs[example, unit] = value if is_last else activation(value)
        hidden = outputs
    return hidden


def target_attention(
    sequence: np.ndarray,
    target: np.ndarray,
    present: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    output_kernel: np.ndarray,
    output_bias: np.ndarray,
) -> np.ndarray:
    """`sum_j a(e_j, v_A) e_j`, with ReLU in `a` [Zhou et al., 2018, eq. 3]."""
    batch, length, dim = np.shape(sequence)
    pooled = np.zeros((batch, dim))
    for example in range(batch):
        v = [float(x) for x in target[example]]
        for j in range(length):
            if not present[example][j]:
                continue
            e = [float(x) for x in sequence[example][j]]
            z = e + [e[k] * v[k] for k in range(dim)] + v
            weight = float(output_bias[0])
            for unit in range(len(bias)):
                total = float(bias[unit])
                for place, value in enumerate(z):
                    total += value * float(kernel[place][unit])
                weight += relu(total) * float(output_kernel[unit][0])
            for k in range(dim):
                pooled[example, k] += weight * e[k]
    return pooled


def central_difference(
    function: Callable[[np.ndarray], float],
    array: np.ndarray,
    epsilon: float = 1e-6,
) -> np.ndarray:
    """Gradient of the scalar `function` at `array`, entry by entry.

    The truncation error is of the order of `epsilon ** 2`; use float64.
    """
    gradient = np.zeros(np.shape(array))
    for index in np.ndindex(gradient.shape):
        above = np.array(array, "float64")
        below = np.array(array, "float64")
        above[index] += epsilon
        below[index] -= epsilon
        difference = float(function(above)) - float(function(below))
        gradient[index] = difference / (2.0 * epsilon)
    return gradient
