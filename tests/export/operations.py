"""The graph's operations, against those that TensorFlow 2.20 knows.

TensorFlow Serving comes out after TensorFlow: an operation or an attribute
that is new keeps it from loading a model. Every line of the list was loaded
and run by TensorFlow 2.20.0, in exports of all models with all kinds of
fields; add one only after doing that again.
"""

import collections
from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

# Operation, and those of its attributes that are not at their defaults.
KNOWN = """\
Abs T
AddN N T
AddV2 T
All
Any
Assert T
AssignVariableOp dtype
BiasAdd T
BiasAddGrad T
BroadcastGradientArgs
BroadcastTo T
Cast DstT SrcT
ConcatV2 N T
Const dtype value
Cumsum T
DenseBincount T Tidx
DisableCopyOnRead
DivNoNan T
DynamicStitch N T
EnsureShape T shape
Equal T
ExpandDims T
Fill T
FloorDiv T
FloorMod T
GatherV2 Taxis Tindices Tparams
Greater T
GreaterEqual T
HashTableV2 key_dtype shared_name value_dtype
Identity T
InitializeTableFromTextFileV2 key_index value_index
IsFinite T
Less T
LessEqual T
Log1p T
LogicalAnd
LogicalNot
LogicalOr
LookupTableFindV2 Tin Tout
MatMul grad_a grad_b transpose_a transpose_b
MatMul T
Max T
Maximum T
MergeV2Checkpoints
Minimum T
Mul T
Neg T
NoOp
NotEqual T
OnesLike T
Pack N T axis
PartitionedCall Tin Tout config_proto f
ParseExampleV2 Tdense dense_shapes num_sparse
ParseExampleV2 ragged_split_types ragged_value_types sparse_types
Placeholder dtype shape
Prod T
RaggedTensorToTensor row_partition_types
RaggedTensorToTensor T Tindex Tshape num_row_partition_tensors
Range Tidx
ReadVariableOp dtype
RealDiv T
Relu T
ReluGrad T
Reshape T
ResourceGather Tindices dtype
RestoreV2 dtypes
Rsqrt T
SaveV2 dtypes
SegmentSum T Tindices
Select T
SelectV2 T
Shape T out_type
ShardedFilename
Sigmoid T
Sign T
Size T
Square T
Squeeze T squeeze_dims
StatefulPartitionedCall Tin Tout config_proto f
StaticRegexFullMatch pattern
StaticRegexReplace pattern rewrite
StridedSlice new_axis_mask
StridedSlice Index T begin_mask end_mask shrink_axis_mask
StridedSliceGrad Index T begin_mask end_mask shrink_axis_mask
StringJoin N
StringSplitV2
StringStrip
StringToHashBucketFast num_buckets
StringToNumber
Sub T
Sum T keep_dims
TensorScatterUpdate T Tindices
Tile T
Transpose T
UnsortedSegmentSum T Tindices
UpperBound T
VarHandleOp debug_name dtype shape shared_name
VarIsInitializedOp
Where
While T body cond output_shapes
ZerosLike T
"""


def operations(path):
    """Operation -> its attributes, in the graph and its functions."""
    content = (Path(path) / "saved_model.pb").read_bytes()
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    graph = meta_graph.graph_def
    found = collections.defaultdict(set)
    for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
        for node in nodes:
            # What begins with `_` is for the graph's optimizers.
            found[node.op] |= {a for a in node.attr if not a.startswith("_")}
    return found


def new_among(found):
    """Those of the operations and attributes that are not in the list."""
    known = collections.defaultdict(set)
    for operation, *attributes in map(str.split, KNOWN.splitlines()):
        known[operation] |= set(attributes)
    return {
        operation: sorted(attributes - known.get(operation, set()))
        for operation, attributes in found.items()
        if operation not in known or attributes - known[operation]
    }
