"""DeepCTR-Torch's `DeepFM`, trained as the inner loop of its `fit` does."""

from typing import Any

import torch
from deepctr_torch.inputs import DenseFeat, SparseFeat
from deepctr_torch.models import DeepFM

from tests.benchmarks.data import NUM_NUMERIC, field_sizes
from tests.benchmarks.peers.serve import serve
from tests.benchmarks.peers.torch_loop import TorchTrainer, tensor_batches


class Trainer(TorchTrainer):
    differs = (
        "numbers go raw to the pyramid, which is 26 k + 13 wide; the sum "
        "of the losses, not their mean; "
        "without the data loader of its `fit`, which costs more per row"
    )
    packages = ("deepctr-torch", "torch")

    def __init__(self, settings: dict) -> None:
        # As its `fit` does: all columns side by side, in float32.
        super().__init__(
            [
                (torch.cat([ids.float(), values], 1), label)
                for ids, values, label in tensor_batches(settings)
            ]
        )
        columns = [
            SparseFeat(f"C{i + 1}", size, settings["embedding_dim"])
            for i, size in enumerate(field_sizes(settings["vocabulary"]))
        ]
        columns += [DenseFeat(f"I{i + 1}", 1) for i in range(NUM_NUMERIC)]
        self.model = DeepFM(
            columns,
            columns,
            dnn_hidden_units=settings["hidden_units"],
            # By default 1e-5.
            l2_reg_linear=0.0,
            l2_reg_embedding=0.0,
        )
        if float(self.model.get_regularization_loss()):
            raise ValueError("It must have no L2 penalty, but it has.")
        self.model.compile(
            torch.optim.Adam(
                self.model.parameters(), lr=settings["learning_rate"]
            ),
            "binary_crossentropy",
        )
        self.model.train()

    def train(self, batch: Any) -> float:
        inputs, label = batch
        prediction = self.model(inputs).squeeze()
        self.model.optim.zero_grad()
        loss = self.model.loss_func(
            prediction, label.squeeze(), reduction="sum"
        )
        regularization = self.model.get_regularization_loss()
        total = loss + regularization + self.model.aux_loss
        total.backward()
        self.model.optim.step()
        return loss.item() / len(label)


if __name__ == "__main__":
    serve(Trainer)
