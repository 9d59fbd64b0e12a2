"""A SavedModel, and what a request runs on it."""
