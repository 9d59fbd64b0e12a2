"""What a user should know of a run: each finding from numbers to a sentence.

Each function returns None where there is nothing to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import deepfm_tf

# Fewer positives or negatives than this, and chance decides the metrics.
ENOUGH = 100
# How much worse the last evaluation must be than the best: of the log loss
# as a share, of the AUC as it is. With ENOUGH rows of each class.
_CLEARLY = {"log_loss": 0.005, "auc": 0.002}
_NOISE = 0.05
# Passes that --patience may cut short, so that many do no harm.
_EPOCHS = 10
# Values of a field that are unseen, and fields that are named.
_OFTEN = 0.2
_MOST_SHOWN = 3


def not_below_constant(
    model: str, log_loss: float, constant: float, flags: str
) -> str | None:
    """The model is no better than one number for every row.

    Args:
        model: str.
        log_loss: float. Its test log loss.
        constant: float. That of always predicting the average rate.
        flags: of `gentler_flags`.
    """
    if log_loss < constant:
        return None
    return (
        f"{model} is not better than a constant: its test log loss of "
        f"{log_loss:.4f} is not below the {constant:.4f} of always predicting "
        f"the average rate of the training data. Do not use it; try {flags}, "
        "more rows, or other columns."
    )


def few_of_a_class(
    positives: int,
    negatives: int,
    model: str,
    intervals: Sequence[tuple[str, float, float, float]],
    option: str,
) -> str | None:
    """Chance alone moves the metrics of the test data far.

    Args:
        positives, negatives: int. Of the test data.
        model: str. Whose intervals they are.
        intervals: metric, value, and the ends of its 95 % interval; NaN where
            it is undefined.
        option: str. What to type for more test rows.
    """
    number, kind = min((positives, "positive"), (negatives, "negative"))
    if number >= ENOUGH:
        return None
    texts = [
        f"{_title(metric)} of {value:.4f} could be anything from {low:.4f} "
        f"to {high:.4f} (95 %)"
        if low <= high
        else f"{_title(metric)} is undefined"
        for metric, value, low, high in intervals
    ]
    return (
        f"The test data have only {number} {kind}{'s' * (number != 1)} among "
        f"{positives + negatives:,} rows: {model}'s "
        f"{', and its '.join(texts)}. Give more test rows: {option}."
    )


def overfits(
    model: str,
    values: Sequence[float],
    metric: str,
    evaluations: int,
    flags: str,
    rarer: int,
) -> str | None:
    """The first epoch is the best, and the later ones are clearly worse.

    Args:
        model: str.
        values: the validation metric, evaluation by evaluation.
        metric: `"log_loss"` or `"auc"`.
        evaluations: int. In an epoch.
        flags: of `gentler_flags`.
        rarer: int. Validation rows of the rarer class: the fewer, the more
            must they differ, as noise does.
    """
    best = best_evaluation(values, metric)
    if best >= evaluations:
        return None
    loss = values[-1] - values[best]
    if metric == "log_loss":
        loss /= values[best]
    noise = math.sqrt(max(1.0, ENOUGH / max(1, rarer)))
    if abs(loss) < _CLEARLY[metric] * noise:
        return None
    when = "after" if best + 1 == evaluations else "within"
    return (
        f"{model} overfits {when} its first epoch (validation "
        f"{_title(metric)} {values[best]:.4f}, at the end "
        f"{values[-1]:.4f}): try {flags}."
    )


def averaged(model: str, metric: str, evaluations: int, epoch: float) -> str:
    """The weights are a mean, since validation cannot tell which are best.

    Args:
        model: str.
        metric: `"log_loss"` or `"auc"`.
        evaluations: int. Those whose weights are in the mean; at least 2.
        epoch: float. The best, with which they begin.
    """
    return (
        f"{model} uses the mean of the weights of {evaluations} evaluations: "
        f"the best one, after epoch {epoch:g}, and later ones whose validation "
        f"{_title(metric)} is not significantly worse, because one label is "
        "rare. To use the best one alone, give --no-average-weights."
    )


def still_improving(
    model: str,
    values: Sequence[float],
    metric: str,
    allowed: int,
    epochs: int,
) -> str | None:
    """The last evaluation that was allowed is the best one.

    Args:
        model: str.
        values: the validation metric, evaluation by evaluation.
        metric: `"log_loss"` or `"auc"`.
        allowed: int. Evaluations that the options allow.
        epochs: int. Epochs that they allow.
    """
    if len(values) < allowed or best_evaluation(values, metric) + 1 < allowed:
        return None
    more = f"give {more_epochs(epochs)}"
    if allowed == 1:
        return (
            f"{model} was evaluated once, which does not show whether it is "
            f"still improving: {more}."
        )
    return (
        f"{model} is still improving at the last epoch allowed, {epochs} "
        f"(validation {_title(metric)} {values[-1]:.4f}): {more}."
    )


def not_better(
    model: str,
    baseline: str,
    metric: str,
    first: float,
    second: float,
    p_value: float,
) -> str | None:
    """A model is not better than another one by more than chance.

    Args:
        model, baseline: str.
        metric: `"log_loss"` or `"auc"`, of the test data.
        first, second: float. What they reach.
        p_value: float. Of the paired test; NaN where there are too few rows.
    """
    if math.isnan(p_value):
        return None
    is_ahead = first < second if metric == "log_loss" else first > second
    told = f"test {_title(metric)} {first:.4f} against {second:.4f}"
    if p_value < _NOISE:
        if is_ahead:
            return None
        return (
            f"{model} is significantly worse than {baseline} ({told}, "
            f"{probability(p_value)}): use {baseline}."
        )
    return (
        f"{model} is not significantly better than {baseline} ({told}, "
        f"{probability(p_value)}): use the cheaper one, or compare them on "
        "more test rows."
    )


def often_unseen(shares: Mapping[str, float]) -> str | None:
    """Ids alone tell little of values that later rows bring.

    Args:
        shares: categorical field -> the share of its values in the validation
            data that training never saw.
    """
    many = {name: s for name, s in shares.items() if s >= _OFTEN}
    if not many:
        return None
    most = sorted(many, key=lambda name: -many[name])[:_MOST_SHOWN]
    shown = ", ".join(f"{name} {many[name]:.0%}" for name in most)
    more = f" and {len(many) - len(most)} more" if len(most) < len(many) else ""
    return (
        "Many values in the validation data are unseen in training "
        f"({shown}{more}), and all unseen values of a field share one id. "
        "Counts and click rates of values may help more than ids: try "
        "--encodings count,target_mean."
    )


def verdict(
    best: str,
    num_models: int,
    gain: float,
    low: float,
    high: float,
    rows: int,
    rarer: int,
    equal: str | None = None,
) -> str:
    """Two sentences: which model is best by how much, and whether to trust it.

    Args:
        best: str. The model.
        num_models: int. Of how many.
        gain: float. By what share its test log loss is below that of always
            predicting the average rate.
        low, high: float. The 95 % interval of that.
        rows: int. Of the test data.
        rarer: int. Rows of the rarer class among them.
        equal: str or None. One that it is not better than beyond noise.
    """
    if rarer == 0:
        return (
            f"{best} cannot be judged: all {rows:,} test rows have the same "
            "outcome. Give test rows with both outcomes."
        )
    which = best
    if num_models > 1:
        which = f"{best}, the best of {num_models} models on validation data,"
    if gain > 0:
        result = (
            f"{which} predicts better than the average rate for every row: "
            f"its error (log loss) on the test data is {gain:.1%} lower."
        )
    else:
        result = (
            f"{which} predicts no better than the average rate for every "
            f"row: its error (log loss) on the test data is {abs(gain):.1%} "
            "higher."
        )
    if rarer < ENOUGH:
        return (
            f"{result} Do not rely on this figure: the test data have only "
            f"{rarer} rows of the rarer outcome, so chance decides it."
        )
    if gain <= 0:
        return f"{result} Do not use it as it is: see what to try below."
    if not low > 0:
        return (
            f"{result} This may be chance, so do not rely on it before it is "
            "measured on more rows."
        )
    trust = (
        f"{result} This can be trusted: on {rows:,} rows that took no part in "
        f"the training the gain is {low:.1%} to {high:.1%}, with 95 % "
        "confidence"
    )
    if equal is not None:
        return f"{trust}, but {equal} may be at least as good."
    return f"{trust}."


def gentler_flags(
    learning_rate: float, embedding_l2: float | None, is_lazy: bool
) -> str:
    """The options against overfitting that the model does not have yet.

    Args:
        learning_rate, embedding_l2: what it was trained with.
        is_lazy: bool. Whether its optimizer takes a penalty on the rows of a
            batch.
    """
    flags = ["--learning-rate 0.001"] if learning_rate > 0.001 else []
    # That of a preset for first-order weights holds vectors back from nothing.
    if not embedding_l2 or embedding_l2 < 1e-4:
        flags += [] if is_lazy else ["--optimizer lazy_adam"]
        flags.append("--embedding-l2 1e-3")
    elif not flags:
        flags.append(f"--embedding-l2 {10 * embedding_l2:.2g}")
    return " ".join(flags)


def more_epochs(epochs: int) -> str:
    """The option for a training that ended while it was improving.

    Args:
        epochs: int. Those that it was allowed.
    """
    return f"--epochs {max(_EPOCHS, 2 * epochs)}"


def best_evaluation(values: Sequence[float], metric: str) -> int:
    """The place of the best value, the first of equal ones."""
    best = max(values) if metric == "auc" else min(values)
    return list(values).index(best)


def probability(p_value: float) -> str:
    """A p-value as text.

    >>> probability(0.4312), probability(0.00001)
    ('p = 0.431', 'p < 0.001')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _title(metric: str) -> str:
    return deepfm_tf.metrics.METRIC_TITLES[metric]
