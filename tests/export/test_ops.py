"""The graph's operations, against those that TensorFlow 2.20 knows.

TensorFlow Serving comes out behind TensorFlow: an operation or attribute that
is new keeps it from loading the model. What is below was loaded and run with
TensorFlow 2.20. Before you add to it, do that again:
`python -m tests.export.test_ops SAVED_MODEL` with the older TensorFlow.
"""
