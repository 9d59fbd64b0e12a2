"""FBGEMM's table-batched embedding, the rest compiled by torch.

A table for each field, whose rows end in the first-order weight; each row's
gradients are added up and Adagrad applied, with one rate a row, as part of the
backward pass. The dense weights have torch's fused Adam.
"""

from typing import Any

import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import (
    EmbeddingLocation,
    PoolingMode,
)
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
)
from torch import nn

from tests.benchmarks.data import NUM_CATEGORICAL, field_sizes
from tests.benchmarks.peers.serve import serve
from tests.benchmarks.peers.torch_loop import (
    DIFFERS,
    Head,
    TorchTrainer,
    precision,
    tensor_batches,
)


class DeepFM(nn.Module):
    """All but the tables, whose rows it is given side by side."""

    def __init__(self, width: int, head: Head) -> None:
        super().__init__()
        self.width = width
        self.head = head

    def forward(self, found: Any, values: Any) -> Any:
        # (batch, fields, columns)
        found = found.unflatten(1, (NUM_CATEGORICAL, -1))
        factors, weights = found[..., : self.width], found[..., self.width]
        return self.head(factors, weights, values)


class Trainer(TorchTrainer):
    differs = (
        f"{DIFFERS}; Adagrad with one rate a row for the tables, Adam for the "
        "rest; rows of 12 columns, a multiple of four"
    )
    packages = ("torch", "fbgemm-gpu-cpu")

    def __init__(self, settings: dict) -> None:
        # An id a field and example: field by field, as the tables are read.
        super().__init__(
            [
                (ids.T.flatten().contiguous(), values, label)
                for ids, values, label in tensor_batches(settings)
            ]
        )
        torch.manual_seed(0)
        width, rate = settings["embedding_dim"], settings["learning_rate"]
        columns = -(-(width + 1) // 4) * 4
        self.tables = SplitTableBatchedEmbeddingBagsCodegen(
            [
                (size, columns, EmbeddingLocation.HOST, ComputeDevice.CPU)
                for size in field_sizes(settings["vocabulary"])
            ],
            optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
            learning_rate=rate,
            eps=1e-7,
            pooling_mode=PoolingMode.SUM,
        )
        self.tables.init_embedding_weights_uniform(-0.05, 0.05)
        self.offsets = torch.arange(
            NUM_CATEGORICAL * settings["batch_size"] + 1
        )
        self.model = DeepFM(width, Head(width, settings["hidden_units"]))
        self.dense = torch.optim.Adam(
            self.model.parameters(), lr=rate, fused=True
        )
        self.loss = nn.BCEWithLogitsLoss()
        self.precision = precision(settings)
        self.run = torch.compile(self.model)

    def train(self, batch: Any) -> float:
        ids, values, label = batch
        found = self.tables(ids, self.offsets)
        with self.precision:
            logits = self.run(found, values)
        loss = self.loss(logits.float(), label)
        self.dense.zero_grad()
        loss.backward()
        self.dense.step()
        return loss.item()


if __name__ == "__main__":
    serve(Trainer)
