"""The child process of a side: `python _worker.py MODULE SETTINGS`, spoken to over its pipes.

It holds itself to the cores it is given, imports `sides.MODULE`, calls its `prepare(settings)`
and then answers every line on stdin with `{"units": n, "seconds": s}` of one piece of work.
Only the standard library is used here, so that a side may live in another environment.
"""

import importlib
import json
import os
import sys


def main() -> None:
    module, settings = sys.argv[1], json.loads(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    if settings["cores"]:
        os.sched_setaffinity(0, settings["cores"])
    try:
        measure = importlib.import_module(f"sides.{module}").prepare(settings)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": error.name}), file=answers, flush=True)
        return
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for _ in sys.stdin:
        units, seconds = measure()
        print(json.dumps({"units": units, "seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()
