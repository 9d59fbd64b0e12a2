"""What in a version's signatures cannot be served, in sentences for the log."""

from collections.abc import Callable, Iterator, Mapping

from tensorflow.core.protobuf import meta_graph_pb2

from deepfm_tf.serving.engine.tensor_protos import PARSABLE, type_name

# They name operations that run once, and no request reaches them.
_NOT_SERVED = ("__saved_model_init_op", "__saved_model_train_op")


def signature_faults(
    signature_defs: Mapping[str, meta_graph_pb2.SignatureDef],
    dtype_of: Callable[[str], int | None],
) -> Iterator[str]:
    """A sentence for each input and output that does not fit the graph.

    Such a signature fails when it is run, or not even then: the others of
    the version are served all the same, as TensorFlow Serving does it.

    Args:
        signature_defs: dict of SignatureDef.
        dtype_of: callable. From a tensor's name to its DataType in the
            graph; None where it is not there.

    Yields:
        str. In the order of the signatures' names.
    """
    for name, signature in sorted(signature_defs.items()):
        if name in _NOT_SERVED:
            continue
        for kind, infos in (
            ("input", signature.inputs),
            ("output", signature.outputs),
        ):
            for alias, info in sorted(infos.items()):
                if info.WhichOneof("encoding") in ("name", None):
                    fault = _fault(kind, info, dtype_of(info.name))
                    if fault:
                        yield f"Signature {name!r}: {kind} {alias!r} {fault}"


def _fault(
    kind: str, info: meta_graph_pb2.TensorInfo, dtype: int | None
) -> str:
    if dtype is None:
        return (
            f"is the tensor {info.name!r}, which the graph does not have: "
            "requests that need it fail."
        )
    if kind == "input" and dtype not in PARSABLE:
        return (
            f"is of type {type_name(dtype)} in the graph, which no request "
            "can send: requests to the signature fail."
        )
    if kind == "input" and dtype != info.dtype:
        return (
            f"is of type {type_name(info.dtype)} in the signature and of type "
            f"{type_name(dtype)} in the graph, which decides: what goes by "
            "the signature, as REST's predict does, fails."
        )
    return ""
