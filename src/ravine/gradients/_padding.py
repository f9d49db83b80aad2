"""Rows of embeddings that get no gradient by design."""

import torch
from torch import Tensor, nn

from ravine.gradients._report import Finding
from ravine.gradients._sandbox import Sandbox


def padding_rows(box: Sandbox) -> dict[int, Tensor]:
    """Return the flat indices of padding rows, by number of the subject they belong to."""
    found = {}
    numbers = {id(subject): t for t, subject in enumerate(box.subjects)}
    for module in box.whole.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None:
            which = numbers.get(id(module.weight))
            if which is not None:
                width = module.weight.shape[1]
                found[which] = module.padding_idx * width + torch.arange(width)
    return found


def padding_notes(box: Sandbox, rows: dict[int, Tensor]) -> list[Finding]:
    """Return the note for each tensor with a padding row."""
    return [
        Finding(
            box.names[which],
            "no-gradient",
            f"padding: row {int(flat[0]) // len(flat)} is padding_idx and gets no gradient by"
            " design, so it is not checked",
            error=False,
        )
        for which, flat in rows.items()
    ]
