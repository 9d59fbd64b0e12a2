"""The lazy rules in plain numpy, one row and one step at a time."""

import numpy as np


def merged(rows, gradients):
    """Row -> sum of its gradients."""
    sums = {}
    for row, gradient in zip(rows, gradients, strict=True):
        sums[row] = sums.get(row, 0.0) + np.array(gradient, "float64")
    return sums


class Adam:
    """[Kingma and Ba, 2015], with Keras's epsilon."""

    def __init__(self, learning_rate, decay=0.0):
        self.learning_rate, self.decay, self.state = learning_rate, decay, {}

    def step(self, table, sums, t):
        for row, g in sums.items():
            m, v = self.state.get(row, (0 * g, 0 * g))
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            self.state[row] = m, v
            rate = self.learning_rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            table[row] *= 1 - self.learning_rate * self.decay
            table[row] -= rate * m / (np.sqrt(v) + 1e-7)


class RowAdagrad:
    """[Duchi et al., 2011], one accumulator a row."""

    def __init__(self, learning_rate, decay=0.0):
        self.learning_rate, self.decay, self.state = learning_rate, decay, {}

    def step(self, table, sums, t):
        for row, g in sums.items():
            a = self.state.get(row, 0.1) + np.mean(g**2)
            self.state[row] = a
            table[row] *= 1 - self.learning_rate * self.decay
            table[row] -= self.learning_rate * g / np.sqrt(a + 1e-7)


class FTRL:
    """[McMahan et al., 2013], algorithm 1, with Keras's l2."""

    def __init__(self, learning_rate, decay=0.0, l1=0.0, l2=0.0, beta=0.0):
        self.learning_rate, self.decay, self.state = learning_rate, decay, {}
        self.l1, self.l2, self.beta = l1, l2, beta

    def step(self, table, sums, t):
        for row, g in sums.items():
            n, z = self.state.get(row, (0 * g + 0.1, 0 * g))
            w = table[row] * (1 - self.learning_rate * self.decay)
            sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / self.learning_rate
            n, z = n + g**2, z + g - sigma * w
            self.state[row] = n, z
            scale = (self.beta + np.sqrt(n)) / self.learning_rate + 2 * self.l2
            table[row] = np.where(
                np.abs(z) <= self.l1, 0.0, (np.sign(z) * self.l1 - z) / scale
            )


class TouchedL2:
    """Any of them, with a penalty on the touched rows."""

    def __init__(self, rule, l2):
        self.rule, self.l2, self.counts = rule, l2, {}

    def step(self, table, sums, t):
        penalized = {}
        for row, g in sums.items():
            self.counts[row] = self.counts.get(row, 0) + 1
            penalized[row] = g + self.l2 * t / self.counts[row] * table[row]
        self.rule.step(table, penalized, t)
