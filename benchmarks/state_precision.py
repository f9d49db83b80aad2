"""Adam's step with state in bfloat16 and in int8 against state in float32.

11.5 M float32 parameters in 53 tensors, two cores, all sides in one run. A step moves 28 bytes per
parameter with float32 state, 20 with bfloat16 and 16 with int8, so at the speed of memory the
ratios would be 1.4 and 1.75. Rounding stochastically and finding each block's scale cost time of
their own; int8 is there to save memory.
"""

import torch

import ravine.optim
from _timing import Figure, Side, cores, hold_to, interleaved, parser, repeated, report, row
from rule_steps import weights

# State to the ratio to reach: how much faster than with state in float32.
AT_LEAST = {"bfloat16": 1.25, "int8": None}
PLAIN = "Adam, float32 state"


def main() -> None:
    options = parser(__doc__)
    given = options.parse_args()
    hold_to(cores())
    torch.manual_seed(0)
    parameters = weights()
    steps = {PLAIN: ravine.optim.Adam(parameters).step}
    for dtype in AT_LEAST:
        steps[f"Adam, {dtype} state"] = ravine.optim.Adam(parameters, state_dtype=dtype).step
    length = 0.1 if given.quick else 0.3
    sides = [Side(name, repeated(step, length)) for name, step in steps.items()]
    times = interleaved(sides, 5 if given.quick else 21)
    rows = [
        row(
            "Adam", f"Adam, {dtype} state", Figure(f"{dtype}: float32 state", [PLAIN], least), times
        )
        for dtype, least in AT_LEAST.items()
    ]
    report("state precision", rows, times, as_json=given.json)


if __name__ == "__main__":
    main()
