"""Kernels of our own for the tables, where TensorFlow has none: optional.

TensorFlow adds up equal rows, reads and writes the touched rows of a table and
forms the products of pairs by a dozen operations, each of which is a pass over
memory. The C++ in `source` does so by four. `deepfm-tf build-kernels` compiles
it against the installed TensorFlow; a training then loads what was built for
this TensorFlow, this source and this kind of CPU. Where nothing was built, on
a GPU, on several replicas and inside a function that XLA compiles, the same is
computed by TensorFlow's own operations. Inference and exports have these alone.

The environment variable `DEEPFM_TF_KERNELS=off` switches the kernels off.
"""
