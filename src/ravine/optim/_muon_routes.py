"""Which weights of a network Muon takes, and which AdamW."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from ravine.core.errors import SettingError

Named = tuple[str, Tensor]
# How embeddings without a module are called: GPT-2 has "wte" and "wpe", most others "emb...".
_EMBEDDING_NAMES = ("emb", "wte", "wpe")


def muon_groups(
    params: nn.Module | Iterable[Named], *, flatten_convolutions: bool = True
) -> list[dict[str, Any]]:
    """Return a network's parameters as two groups, the first for Muon, the second for AdamW.

    Muon takes the hidden matrices. AdamW takes what has fewer than two dimensions (biases,
    norms), embeddings, weights of norm layers, and the output layer: the last weight of two
    dimensions or more that is no embedding. Of a model, embeddings and norms are known by the
    type of their module; of named parameters by their names: a part between dots or underscores
    that begins with "emb", "wte" or "wpe", or holds "norm". Where the output layer shares its
    weight with an embedding, give the model: names do not show it.

    Args:
        params: The model, or its ``named_parameters()``, in the order in which layers follow.
        flatten_convolutions: Whether Muon takes kernels too, as matrices of one row per output
            channel; otherwise AdamW does.

    Returns:
        Groups for `MuonWithAdamW`, free to be edited: ``params`` by name, and ``use_muon``.

    Raises:
        SettingError: When parameters come without names.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> hidden, rest = muon_groups(model)
    >>> [name for name, _ in hidden["params"]], [name for name, _ in rest["params"]]
    (['0.weight'], ['0.bias', '2.weight', '2.bias'])
    """
    if isinstance(params, nn.Module):
        named: list[Named] = list(params.named_parameters())
        apart = _apart_by_module(params)
    else:
        named = _checked(params)
        apart = _apart_by_name(named)
    matrices = {p for _, p in named if p.ndim == 2 or (p.ndim > 2 and flatten_convolutions)}
    hidden = matrices - apart
    return [
        {"params": [(n, p) for n, p in named if p in hidden], "use_muon": True},
        {"params": [(n, p) for n, p in named if p not in hidden], "use_muon": False},
    ]


def _checked(params: Iterable[Named]) -> list[Named]:
    named = list(params)
    for item in named:
        if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Tensor)):
            raise SettingError(
                "params must come with names, so that the output layer and embeddings are found,"
                f" got {type(item).__name__}; give the model, its named_parameters(), or groups"
                " that set use_muon"
            )
    return named


def _apart_by_module(model: nn.Module) -> set[Tensor]:
    """Return the weights of embeddings, norm layers and the output layer."""
    apart, others = set(), []
    for module in model.modules():
        weights = list(module.parameters(recurse=False))
        kinds = (nn.Embedding, nn.EmbeddingBag)
        if isinstance(module, kinds) or "Norm" in type(module).__name__:
            apart.update(weights)
        else:
            others += [p for p in weights if p.ndim >= 2]
    return apart | set(others[-1:])


def _apart_by_name(named: Sequence[Named]) -> set[Tensor]:
    apart = {p for name, p in named if _speaks_of_embedding_or_norm(name)}
    return apart | set([p for _, p in named if p.ndim >= 2 and p not in apart][-1:])


def _speaks_of_embedding_or_norm(name: str) -> bool:
    words = name.lower().replace("_", ".").split(".")
    return any(word.startswith(_EMBEDDING_NAMES) or "norm" in word for word in words)
