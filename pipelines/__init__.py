"""Recipes: one per data set, all with the command line of `tabular`."""

import os

# Before TensorFlow is imported: errors only, no start-up notices.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
