"""FuxiCTR: DeepFM put together from its layers, trained by its own step.

Its DeepFM class is not in the package on PyPI, its layers are.
"""

import tempfile
from typing import Any

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import (
    FactorizationMachine,
    FeatureEmbedding,
    MLP_Block,
)
from fuxictr.pytorch.models import BaseModel

from tests.benchmarks.data import NUM_NUMERIC, field_sizes
from tests.benchmarks.peers.serve import serve
from tests.benchmarks.peers.torch_loop import TorchTrainer, tensor_batches


class DeepFM(BaseModel):
    """Logits of FM and pyramid over one embedding."""

    def __init__(self, feature_map: FeatureMap, settings: dict) -> None:
        super().__init__(
            feature_map,
            verbose=0,
            model_root=tempfile.gettempdir(),
            metrics=["logloss"],
        )
        width = settings["embedding_dim"]
        self.embedding = FeatureEmbedding(feature_map, width)
        self.machine = FactorizationMachine(feature_map)
        self.pyramid = MLP_Block(
            input_dim=feature_map.num_fields * width,
            hidden_units=list(settings["hidden_units"]),
            output_dim=1,
        )
        self.compile("adam", "binary_crossentropy", settings["learning_rate"])
        self.reset_parameters()
        self._max_gradient_norm = 10.0

    def forward(self, inputs: dict) -> dict:
        columns = self.get_inputs(inputs)
        embedded = self.embedding(columns)
        logits = self.machine(columns, embedded)
        logits = logits + self.pyramid(embedded.flatten(start_dim=1))
        return {"y_pred": self.output_activation(logits)}


class Trainer(TorchTrainer):
    differs = (
        "its `train_step` clips the global norm of all gradients; DeepFM from "
        "its layers; numbers are embedded too: the pyramid is 39 k wide"
    )
    packages = ("fuxictr", "torch")

    def __init__(self, settings: dict) -> None:
        feature_map = FeatureMap("benchmark", tempfile.gettempdir())
        feature_map.labels = ["label"]
        for i in range(NUM_NUMERIC):
            feature_map.features[f"I{i + 1}"] = {"type": "numeric"}
        for i, size in enumerate(field_sizes(settings["vocabulary"])):
            feature_map.features[f"C{i + 1}"] = {
                "type": "categorical",
                "vocab_size": size,
            }
        feature_map.num_fields = feature_map.get_num_fields()
        names = tuple(feature_map.features)
        batches = []
        for ids, values, label in tensor_batches(settings):
            columns = [*values.unbind(1), *ids.unbind(1)]
            batch = dict(zip(names, columns, strict=True))
            batches.append(batch | {"label": label})
        super().__init__(batches)
        torch.manual_seed(0)
        self.model = DeepFM(feature_map, settings)
        self.model.train()

    def train(self, batch: Any) -> float:
        return self.model.train_step(batch).item()


if __name__ == "__main__":
    serve(Trainer)
