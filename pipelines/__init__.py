"""Recipes: one per data set, all with the command line of `tabular`."""
