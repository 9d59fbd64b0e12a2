"""One experiment, from options to report; several, side by side."""

from deepfm_tf.experiment.best import train_best
from deepfm_tf.experiment.command_line import main
from deepfm_tf.experiment.options.recipe import OWN_FILES, Recipe
from deepfm_tf.experiment.options.settings import Settings

__all__ = ["OWN_FILES", "Recipe", "Settings", "main", "train_best"]
