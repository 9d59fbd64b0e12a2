"""Raw files, DataFrames and arrays as blocks of rows; no TensorFlow."""
