"""Files that run TensorFlow Serving itself on an export."""
