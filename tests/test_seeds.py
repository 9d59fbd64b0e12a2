"""One rule for seeds, wherever one is taken."""

import json

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.experiment import main
from deepfm_tf.experiment.options.arguments import seed as seed_of_text
from deepfm_tf.seeds import check_seed

LABEL, PROBABILITY = np.array([0, 1] * 20), np.linspace(0.1, 0.9, 40)
FIELD = deepfm_tf.CategoricalField("site", vocabulary_size=3)
TAKERS = {
    "Part": lambda seed: deepfm_tf.Part(0.0, 1.0, seed),
    "TimePart": lambda seed: deepfm_tf.TimePart("at", None, None, seed),
    "set_seed": deepfm_tf.set_seed,
    "dataset": lambda seed: deepfm_tf.dataset_from_ids(
        {"ids": np.array([[1]])},
        [1],
        deepfm_tf.Schema((FIELD,), "click"),
        shuffle=True,
        seed=seed,
    ),
    "text": lambda seed: deepfm_tf.data.dataset_from_text("", None, seed=seed),
    "bootstrap": lambda seed: deepfm_tf.metrics.bootstrap_intervals(
        LABEL, PROBABILITY, num_replicates=2, seed=seed
    ),
    "comparison": lambda seed: deepfm_tf.metrics.compare_models(
        LABEL, PROBABILITY, PROBABILITY, num_replicates=2, seed=seed
    ),
    "importance": lambda seed: deepfm_tf.explain.permutation_importance(
        None, None, seed=seed
    ),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "7", True, [1]])
def test_a_seed_that_not_all_can_take_is_refused_by_all(taker, seed):
    with pytest.raises(
        deepfm_tf.UserError, match="`seed` must be a whole number from 0 to 42"
    ):
        TAKERS[taker](seed)


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(7), np.uint8(7)])
def test_other_seeds_are_taken(seed):
    assert check_seed(seed) == seed
    part = deepfm_tf.Part(0.0, 1.0, seed)
    assert json.loads(json.dumps(part.seed)) == seed
    deepfm_tf.set_seed(seed)


def test_the_command_line_has_the_same_bound():
    assert seed_of_text("4294967295") == 2**32 - 1
    for text in ("4294967296", "-1", "1.5", "x"):
        with pytest.raises(Exception, match="0 to 4294967295, not"):
            seed_of_text(text)


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_seeds_of_many_runs_are_checked_before_any(command, tmp_path, capsys):
    words = [
        *("--train", "none.csv", "--label", "click", "--seeds", "3"),
        *("--seed", "4294967295", "--run", str(tmp_path / "run")),
    ]

    status = main(arguments=words, command=command)

    assert status == 2
    assert (
        "error: --seed 4294967295 with --seeds 3 takes seeds up to "
        "4294967297, but the largest is 4294967295."
    ) in capsys.readouterr().err
