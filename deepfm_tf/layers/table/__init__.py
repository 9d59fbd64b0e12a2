"""The table that the layers share: its variable, and what is read of it."""
