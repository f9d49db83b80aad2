"""Program to Triton source: the printed lines of the CPU kernel, over blocks on a GPU.

A stage becomes two kernels. ``rows_k`` runs once per row of hyper-parameters, in double: it adds
the partial sums of the stage before, in a fixed order, and computes the constants. ``chunks_k``
runs once per chunk and reduces or updates it. All numbers of a step lie in device memory: none is
part of the code or of a launch.
"""

from collections.abc import Mapping

from ravine.kernels._lower import Program, Stage
from ravine.kernels._triton_lines import lines_in, names_in, value_in

# Elements of a chunk, of four warps: eight a thread, which are 16 bytes of a half-precision array
# and twice 16 bytes of a single-precision one.
CHUNK = 1024

# Column of the spans where the chunks begin that a sum runs over; the next one is their end.
SPANS = {"channel": 0, "tensor": 2, "member": 4}

# Column of the owners that holds the first row of what a scalar is kept for.
_OWNER = {"tensor": 0, "member": 1}


def triton_source(program: Program, head: str, dtypes: Mapping[str, str]) -> str:
    """Return the source of a module with kernels ``rows_k`` and ``chunks_k``, maybe ``share``.

    Args:
        program: The rule's program.
        head: First lines of the module.
        dtypes: Triton's name of each array's dtype.
    """
    parts = [head]
    for index, stage in enumerate(program.stages):
        parts.append(_rows(program, index))
        parts.append(_block(program, stage, index, dtypes))
        parts.append(_chunks(program, stage, index, dtypes))
    if program.scalars:
        parts.append(_share(program))
    return "\n\n\n".join(parts) + "\n"


def computed_in(dtype: str) -> str:
    """Return the dtype to compute in: half precision would lose eps and squares of gradients."""
    return "float64" if dtype == "float64" else "float32"


def _rows(program: Program, index: int) -> str:
    stage = program.stages[index]
    body = [
        "_r = tl.program_id(0).to(tl.int64)",
        *(_count(program) if index == 0 else _combine(program, index)),
        *_loads(program, index),
        *lines_in("float64", stage.row_lines),
        *(
            f"tl.store(_constants + _r * {program.width} + {i}, {value_in('float64', value)})"
            for i, value in enumerate(stage.constants)
        ),
    ]
    for i, name in enumerate(program.scalars):
        if name in stage.scalars:
            value = value_in("float64", stage.scalars[name])
            body.append(f"tl.store(_scalars + _r * {len(program.scalars)} + {i}, {value})")
    head = f"def rows_{index}(_rows, _scalars, _spans, _partial, _sums, _constants):"
    return _function(head, body)


def _count(program: Program) -> list[str]:
    """Count the step, on the device: a captured graph replays this too."""
    place = f"_rows + _r * {len(program.numbers)}"
    return [f"t = tl.load({place}) + 1.0", f"tl.store({place}, t)"]


def _combine(program: Program, index: int) -> list[str]:
    """Add what the chunks of the stage before have summed."""
    lines: list[str] = []
    names, width = list(program.sums), len(program.sums)
    for name in program.stages[index - 1].results:
        column, span = names.index(name), SPANS[program.sums[name]]
        ends = [f"tl.load(_spans + _r * {2 * len(SPANS)} + {span + end})" for end in (0, 1)]
        lines += [
            f"{name} = _combine(_partial + {column}, {ends[0]}, {ends[1]}, {width})",
            f"tl.store(_sums + _r * {width} + {column}, {name})",
        ]
    return lines


def _loads(program: Program, index: int) -> list[str]:
    """Read the numbers that the row's lines need and that are not known yet."""
    stage = program.stages[index]
    wanted = names_in([*stage.row_lines, *stage.constants, *stage.scalars.values()])
    known = set(program.stages[index - 1].results) if index else {"t"}
    tables = {"_rows": program.numbers, "_scalars": program.scalars, "_sums": program.sums}
    return [
        f"{name} = tl.load({table} + _r * {len(names)} + {i})"
        for table, names in tables.items()
        for i, name in enumerate(names)
        if name in wanted - known
    ]


def _block(program: Program, stage: Stage, index: int, dtypes: Mapping[str, str]) -> str:
    """Print what is done to a chunk; its length is known for most chunks, which frees the mask."""
    real = computed_in(dtypes["w"])
    constants = [f"c{i}" for i in range(len(stage.constants))]
    pointers = [f"{name}_" for name in program.arrays]
    wanted = names_in([*stage.lines, *stage.results.values()])
    body = [f"_i = tl.arange(0, {CHUNK})", "_in = _i < _length"]
    body += [
        f"{name} = tl.load({name}_ + _i, mask=_in, other=0.0).to(tl.{real})"
        for name in program.arrays
        if name in wanted
    ]
    body += lines_in(real, stage.lines)
    if index + 1 == len(program.stages):
        body += [
            f"tl.store({name}_ + _i, {value}.to(tl.{dtypes[name]}), mask=_in)"
            for name, value in stage.results.items()
        ]
    else:
        body += _partial_sums(program, stage)
    arguments = ", ".join(["_length", "_partial", *constants, *pointers])
    return _function(f"def block_{index}({arguments}):", body)


def _partial_sums(program: Program, stage: Stage) -> list[str]:
    lines: list[str] = []
    for name, value in stage.results.items():
        column = list(program.sums).index(name)
        # In double; entries beyond the chunk's end may be anything, such as 0 / 0.
        terms = f"tl.where(_in, {value}.to(tl.float64), 0.0)"
        lines.append(f"tl.store(_partial + {column}, tl.sum({terms}, axis=0))")
    return lines


def _chunks(program: Program, stage: Stage, index: int, dtypes: Mapping[str, str]) -> str:
    constants = [f"c{i}" for i in range(len(stage.constants))]
    columns = ("_tensor", "_start", "_length", "_row")
    body = ["_k = tl.program_id(0).to(tl.int64)"]
    body += [f"{name} = tl.load(_chunks + _k * 4 + {i})" for i, name in enumerate(columns)]
    body += [
        f"{name} = tl.load(_constants + _row * {program.width} + {i})"
        for i, name in enumerate(constants)
    ]
    for i, name in enumerate(program.arrays):
        address = f"tl.load(_tensors + _tensor * {len(program.arrays)} + {i})"
        body.append(f"{name}_ = {address}.to(tl.pointer_type(tl.{dtypes[name]})) + _start")
    body.append("if _aligned:")
    body += [f"    {name}_ = tl.multiple_of({name}_, 16)" for name in program.arrays]
    places = [*constants, *(f"{name}_" for name in program.arrays)]
    partial = f"_partial + _k * {max(1, len(program.sums))}"
    for case, length in ((f"if _length == {CHUNK}:", f"{CHUNK}"), ("else:", "_length")):
        body += [case, f"    block_{index}({', '.join([length, partial, *places])})"]
    head = f"def chunks_{index}(_tensors, _chunks, _constants, _partial, _aligned: tl.constexpr):"
    return _function(head, body)


def _share(program: Program) -> str:
    """Give all rows of a tensor or member the scalars of its first row."""
    body = ["_r = tl.program_id(0).to(tl.int64)"]
    width = len(program.scalars)
    for i, over in enumerate(program.scalars.values()):
        body += [
            f"_first = tl.load(_owners + _r * 3 + {_OWNER[over]})",
            f"tl.store(_scalars + _r * {width} + {i}, tl.load(_scalars + _first * {width} + {i}))",
        ]
    return _function("def share(_scalars, _owners):", body)


def _function(head: str, body: list[str]) -> str:
    return "\n".join(["@triton.jit", head, *(f"    {line}" for line in body)])
