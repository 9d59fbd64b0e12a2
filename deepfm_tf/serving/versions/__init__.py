"""Versions of models come and go while requests run."""
