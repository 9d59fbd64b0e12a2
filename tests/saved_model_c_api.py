"""Runs a SavedModel with TensorFlow's C++ loader, by way of its C API."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.machinery
import importlib.util
import os
import sys
from typing import Any

import numpy as np

_TF_STRING = 7
_TF_STRING_SIZE = 24  # sizeof(TF_TString)
_NUMBERS = {1: "float32", 2: "float64", 3: "int32", 9: "int64", 10: "bool"}


class _Buffer(ctypes.Structure):
    """The start of TF_Buffer."""

    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = [("oper", ctypes.c_void_p), ("index", ctypes.c_int)]


_TYPES = {
    "v": None,
    "p": ctypes.c_void_p,  # any pointer, arrays included
    "s": ctypes.c_char_p,
    "i": ctypes.c_int,
    "l": ctypes.c_int64,
    "z": ctypes.c_size_t,
}
# The type of the result, then those of the arguments: undeclared, a pointer
# would be cut to the 32 bits of an int.
_FUNCTIONS = """
TF_NewStatus:p TF_GetCode:ip TF_Message:sp TF_DeleteStatus:vp
TF_NewGraph:p TF_GraphOperationByName:pps TF_DeleteGraph:vp
TF_NewBuffer:p TF_DeleteBuffer:vp
TF_NewSessionOptions:p TF_DeleteSessionOptions:vp
TF_LoadSessionFromSavedModel:pppspippp TF_SessionRun:vppppippipipp
TF_CloseSession:vpp TF_DeleteSession:vpp
TF_AllocateTensor:pipiz TF_TensorType:ip TF_NumDims:ip TF_Dim:lpi
TF_TensorData:pp TF_DeleteTensor:vp
TF_StringInit:vp TF_StringCopy:vpsz
TF_StringGetDataPointer:pp TF_StringGetSize:zp
"""


def _tensorflow() -> importlib.machinery.ModuleSpec:
    """Where the tensorflow package is, found without importing it."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None:
        raise RuntimeError("tensorflow is not installed")
    return spec


@functools.cache
def _library() -> ctypes.CDLL:
    """The wheel's library: the one the Python package loads, if it does."""
    directory = os.path.dirname(str(_tensorflow().origin))
    library = ctypes.CDLL(os.path.join(directory, "libtensorflow_cc.so.2"))
    for declaration in _FUNCTIONS.split():
        name, _, codes = declaration.partition(":")
        result, *arguments = [_TYPES[code] for code in codes]
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _check(status: int) -> None:
    """Raises what the last call left in the status, if it failed."""
    if _library().TF_GetCode(status):
        message = _library().TF_Message(status)
        raise RuntimeError(message.decode(errors="replace"))


def _to_tensor(value: np.ndarray, stack: contextlib.ExitStack) -> int:
    """A TF_Tensor with a copy of the array, freed when the stack unwinds."""
    tf = _library()
    array = np.asarray(value, order="C")
    if array.dtype.kind in "OSUT":
        code, size = _TF_STRING, _TF_STRING_SIZE * array.size
    else:
        codes = [key for key, name in _NUMBERS.items() if name == array.dtype]
        if not codes:
            raise RuntimeError(f"unsupported input dtype {array.dtype}")
        code, size = codes[0], array.nbytes
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor = tf.TF_AllocateTensor(code, shape, array.ndim, size)
    stack.callback(tf.TF_DeleteTensor, tensor)
    data = tf.TF_TensorData(tensor)
    if code != _TF_STRING:
        ctypes.memmove(data, array.ctypes.data, size)
        return tensor
    # TF_DeleteTensor frees every string as well, so that each must be one
    # before anything can fail.
    places = [data + index * _TF_STRING_SIZE for index in range(array.size)]
    for place in places:
        tf.TF_StringInit(place)
    for place, text in zip(places, array.ravel(), strict=True):
        content = text.encode() if isinstance(text, str) else text
        tf.TF_StringCopy(place, content, len(content))
    return tensor


def _to_array(tensor: int) -> np.ndarray:
    """A copy of a TF_Tensor: strings as an object array of bytes."""
    tf = _library()
    code, data = tf.TF_TensorType(tensor), tf.TF_TensorData(tensor)
    rank = tf.TF_NumDims(tensor)
    shape = tuple(tf.TF_Dim(tensor, axis) for axis in range(rank))
    if code != _TF_STRING:
        if code not in _NUMBERS:
            raise RuntimeError(f"unsupported output TF_DataType {code}")
        array = np.empty(shape, _NUMBERS[code])
        ctypes.memmove(array.ctypes.data, data, array.nbytes)
        return array
    array = np.empty(shape, object)
    for index in range(array.size):
        place = data + index * _TF_STRING_SIZE
        pointer = tf.TF_StringGetDataPointer(place)
        text = ctypes.string_at(pointer, tf.TF_StringGetSize(place))
        array.flat[index] = text
    return array


def _endpoints(graph: int, names: list[str]) -> ctypes.Array[_Output]:
    """The TF_Outputs of tensor names such as "StatefulPartitionedCall:1"."""
    found = (_Output * len(names))()
    for output, name in zip(found, names, strict=True):
        operation, _, index = name.rpartition(":")
        pointer = _library().TF_GraphOperationByName(graph, operation.encode())
        if not pointer:
            raise RuntimeError(f"no tensor {name!r} in the graph")
        output.oper, output.index = pointer, int(index)
    return found


@functools.cache
def _session(directory: str, modified: int) -> tuple[int, int, Any]:
    """Session, graph and MetaGraphDef, kept for the calls that follow.

    Args:
        directory: the SavedModel, tagged "serve".
        modified: time of its graph: written again, it is another one.
    """
    from tensorflow.core.protobuf import meta_graph_pb2

    tf = _library()
    with contextlib.ExitStack() as stack:
        status = tf.TF_NewStatus()
        stack.callback(tf.TF_DeleteStatus, status)
        options = tf.TF_NewSessionOptions()
        stack.callback(tf.TF_DeleteSessionOptions, options)
        buffer = tf.TF_NewBuffer()
        stack.callback(tf.TF_DeleteBuffer, buffer)
        graph = tf.TF_NewGraph()
        path, tags = os.fsencode(directory), (ctypes.c_char_p * 1)(b"serve")
        session = tf.TF_LoadSessionFromSavedModel(
            options, None, path, tags, 1, graph, buffer, status
        )
        _check(status)
        content = _Buffer.from_address(buffer)
        serialized = ctypes.string_at(content.data, content.length)
        meta_graph = meta_graph_pb2.MetaGraphDef.FromString(serialized)
    return session, graph, meta_graph


def run_signature(
    directory: str,
    inputs: dict[str, np.ndarray],
    signature: str = "serving_default",
) -> dict[str, np.ndarray]:
    """Loads a SavedModel tagged "serve" and runs one of its signatures."""
    tf = _library()
    content = os.path.join(directory, "saved_model.pb")
    session, graph, meta_graph = _session(
        directory, os.stat(content).st_mtime_ns
    )
    with contextlib.ExitStack() as stack:
        status = tf.TF_NewStatus()
        stack.callback(tf.TF_DeleteStatus, status)
        if signature not in meta_graph.signature_def:
            raise RuntimeError(f"no signature {signature!r}")
        definition = meta_graph.signature_def[signature]
        unknown = sorted(set(inputs) - set(definition.inputs))
        if unknown:
            raise RuntimeError(f"no inputs {unknown} in {signature!r}")

        values = [_to_tensor(value, stack) for value in inputs.values()]
        names = sorted(definition.outputs)
        sources = [definition.inputs[name].name for name in inputs]
        targets = [definition.outputs[name].name for name in names]
        feeds, fetches = _endpoints(graph, sources), _endpoints(graph, targets)
        tensors = (ctypes.c_void_p * len(values))(*values)
        results = (ctypes.c_void_p * len(names))()
        fed = feeds, tensors, len(values)
        fetched = fetches, results, len(names)
        tf.TF_SessionRun(session, None, *fed, *fetched, None, 0, None, status)
        for result in filter(None, results):
            stack.callback(tf.TF_DeleteTensor, result)
        _check(status)
        return {n: _to_array(r) for n, r in zip(names, results, strict=True)}


def main(arguments: list[str]) -> None:
    """Runs DIRECTORY INPUTS.npz OUTPUTS.npz [SIGNATURE]."""
    directory, source, target, *signature = arguments
    # The package, found but not executed, is enough to import its generated
    # protobuf modules: nothing of the Python runtime is loaded.
    if "tensorflow" not in sys.modules:
        package = importlib.util.module_from_spec(_tensorflow())
        sys.modules["tensorflow"] = package
    with np.load(source, allow_pickle=False) as inputs:
        outputs = run_signature(directory, dict(inputs), *signature)
    arrays: dict[str, Any] = {}
    for name, array in outputs.items():
        # Objects would be pickled.
        arrays[name] = array.astype("S") if array.dtype == object else array
    np.savez(target, **arrays)


if __name__ == "__main__":
    main(sys.argv[1:])
