"""Every row of the table of peers, run against the library it names."""

from dataclasses import replace

import pytest

from ravine.testing._conformance import as_stated
from ravine.testing._peers import AGREES, LIBRARIES, PEERS, Peer, measured


@pytest.mark.parametrize("row", PEERS, ids=lambda row: row.id)
def test_peer(row: Peer):
    if not LIBRARIES[row.library].installed:
        pytest.skip(f"{row.library} is not installed")
    found = measured(row)
    stated = "agreement" if row.difference is None else row.difference
    assert as_stated(found, row.difference), f"the table states {stated}, found {found:.4g}"


def test_every_row_has_a_name_of_its_own():
    ids = [row.id for row in PEERS]
    assert len(set(ids)) == len(ids)


def test_a_difference_says_why():
    assert [row.id for row in PEERS if row.difference is not None and not row.differs] == []


def test_stated_differences_are_differences():
    assert [
        row.id for row in PEERS if row.difference is not None and row.difference <= AGREES
    ] == []


def _row(name: str) -> Peer:
    return next(row for row in PEERS if row.id == name)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("adam-torch.optim", "eps", 1e-6),
        ("momentum-torch.optim", "dampening", 0.0),
        ("rmsprop_centred-torch.optim", "beta", 0.5),
        ("adamw-torch.optim", "weight_decay", 0.0),
    ],
)
def test_a_setting_that_only_one_side_has_shows(name, setting, value):
    row = _row(name)

    def wrong(lib, w, h):
        setattr(h, setting, value)
        return row.make(lib, w, h)

    assert measured(replace(row, make=wrong)) > 1e6 * AGREES


@pytest.mark.parametrize("modifier", ["maximize", "weight_decay"])
def test_a_modifier_left_out_shows(modifier):
    row = _row("adam-torch.optim")
    kept = tuple(name for name in row.modifiers if name != modifier)
    wrong = replace(row, modifiers=kept, make=lambda lib, w, h: lib.Adam(w, lr=h.lr, maximize=True))
    assert measured(wrong) > 1e6 * AGREES


def test_a_row_prints_the_call_that_it_makes():
    assert _row("amsgrad-optax").call() == (
        "chain(add_decayed_weights(weight_decay), amsgrad(lr, b1=beta1, b2=beta2, eps=eps))"
    )
