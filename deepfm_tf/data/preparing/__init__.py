"""The two passes over the files that prepare them."""
