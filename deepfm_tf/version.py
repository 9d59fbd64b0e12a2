"""The version: here, and nowhere else."""

__version__ = "0.11.0"
