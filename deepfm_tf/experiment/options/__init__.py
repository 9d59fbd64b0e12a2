"""The commands and their options, each declared once."""
