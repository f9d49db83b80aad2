"""The first two calls of Adam's `step()` in a fresh process: `python first_step.py WAY`.

Prints their wall times in seconds as JSON. Importing torch and Ravine, making the parameters and
the optimizer come before and do not count; whatever the calls import or compile does.
"""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import ravine.optim
from rule_steps import weights

WAYS = {
    "ravine": (ravine.optim.Adam, {}),
    "fused": (torch.optim.Adam, {"fused": True}),
    "compiled": (torch.optim.Adam, {"foreach": True}),
}


def main() -> None:
    way = sys.argv[1]
    make, arguments = WAYS[way]
    step = make(weights(), **arguments).step
    if way == "compiled":
        step = torch.compile(step)
    taken = []
    for _ in range(2):
        begin = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begin)
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
