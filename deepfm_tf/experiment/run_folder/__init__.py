"""The folder in which a run is kept."""
