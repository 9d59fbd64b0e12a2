"""The version: here, and nowhere else."""

__version__ = "0.10.0"
