"""What other libraries make of the same names: one row per rule and library."""

from ravine.testing._peers import (
    _authors,
    _heavyball,
    _matrix,
    _optax_adam,
    _optax_descent,
    _optax_norms,
    _optimi,
    _pytorch_optimizer,
    _torch,
)
from ravine.testing._peers._row import AGREES, LIBRARIES, Library, Peer
from ravine.testing._peers._run import measured
from ravine.testing._peers._without_row import WITHOUT_ROW

PEERS = (
    *_torch.ROWS,
    *_matrix.ROWS,
    *_optax_descent.ROWS,
    *_optax_adam.ROWS,
    *_optax_norms.ROWS,
    *_pytorch_optimizer.ROWS,
    *_optimi.ROWS,
    *_heavyball.ROWS,
    *_authors.ROWS,
)

__all__ = ["AGREES", "LIBRARIES", "PEERS", "WITHOUT_ROW", "Library", "Peer", "measured"]
