"""TensorFlow Serving's API: a local server and a client for any server."""
