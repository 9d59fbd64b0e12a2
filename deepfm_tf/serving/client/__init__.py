"""Clients of any TensorFlow Serving server, and the command `predict`."""
