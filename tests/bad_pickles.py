"""Pickles that run code when they are unpickled, or that are no Q-tables, as bytes written by hand.

The code makes a folder, which is harmless and visible. `CODE` has a route for each token by which a pickle can name or
call a function.
"""

import json
import pickle
import struct

import cloudpickle
import numpy as np

TABLE = {
    "values": [[-1.0, -2.0, -3.0] for _ in range(135)],
    "spare_capacities": list(range(14)),
    "changes": list(range(8)),
    "levels": [],
}
"""Numbers in the form of the course's Q-table."""


def text(value):
    """Return the token of a text."""
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def line(value):
    """Return the token of a text, as the first protocol has it."""
    return b"S'" + value.encode() + b"'\n"


class Reduced:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def plain(value):
    """Return the pickle of plain values without references, as we write it."""
    return pickle.dumps(json.loads(json.dumps(value)))


def table(**changes):
    """Return the pickle of a Q-table with some of its content changed, or left out if the change is `...`."""
    return plain({key: value for key, value in (TABLE | changes).items() if value is not ...})


# Each takes the folder that the payload makes, as text, and returns a whole pickle.
CODE = {
    "global": lambda folder: b"cos\nmkdir\n(" + line(folder) + b"tR.",
    "global_proto2": lambda folder: b"\x80\x02cos\nmkdir\n" + text(folder) + b"\x85R.",
    "stack_global": lambda folder: b"\x80\x04" + text("os") + text("mkdir") + b"\x93" + text(folder) + b"\x85R.",
    "stack_global_from_memory": lambda folder: (
        b"\x80\x04" + text("mkdir") + b"\x94" + text("os") + b"h\x00\x93" + text(folder) + b"\x85R."
    ),
    "stack_global_from_far_memory": lambda folder: (
        b"\x80\x04"
        + text("os")
        + b"r\xff\xff\xff\x00"
        + b"0j\xff\xff\xff\x00"
        + text("mkdir")
        + b"\x93"
        + text(folder)
        + b"\x85R."
    ),
    "dotted_name": lambda folder: b"\x80\x04" + text("shutil") + text("os.mkdir") + b"\x93" + text(folder) + b"\x85R.",
    "inst": lambda folder: b"(" + line(folder) + b"ios\nmkdir\n.",
    "obj": lambda folder: b"(cos\nmkdir\n" + line(folder) + b"o.",
    "newobj": lambda folder: (
        b"\x80\x02cbuiltins\nbytes\n(cbuiltins\nmap\n(cos\nmkdir\n(" + line(folder) + b"lt\x81t\x81."
    ),
    "newobj_ex": lambda folder: (
        b"\x80\x04cbuiltins\nbytes\n(cbuiltins\nmap\n(cos\nmkdir\n(" + line(folder) + b"lt}\x92t}\x92."
    ),
    "build": lambda folder: (
        b"\x80\x02cfunctools\npartial\n(cos\nmkdir\ntR(cos\nmkdir\n" + text(folder) + b"\x85}}tb)R."
    ),
    "ext1": lambda folder: b"\x80\x02\x82\xf0" + text(folder) + b"\x85R.",
    "ext2": lambda folder: b"\x80\x02\x83\xf0\x00" + text(folder) + b"\x85R.",
    "ext4": lambda folder: b"\x80\x02\x84\xf0\x00\x00\x00" + text(folder) + b"\x85R.",
    "persid": lambda folder: b"Pos.mkdir " + folder.encode() + b"\n.",
    "binpersid": lambda folder: b"\x80\x02" + text(folder) + b"Q.",
    "eval": lambda folder: pickle.dumps(Reduced(eval, f"__import__('os').mkdir({folder!r})")),
    "exec": lambda folder: pickle.dumps(Reduced(exec, f"import os; os.mkdir({folder!r})")),
    "getattr": lambda folder: (
        b"\x80\x02cbuiltins\ngetattr\n(cimportlib\nimport_module\n"
        + text("os")
        + b"\x85R"
        + text("mkdir")
        + b"tR"
        + text(folder)
        + b"\x85R."
    ),
    "numpy_function": lambda folder: (
        b"\x80\x02cnumpy.testing._private.utils\nrunstring\n(" + text(f"import os; os.mkdir({folder!r})") + b"}tR."
    ),
    "pickle_in_pickle": lambda folder: pickle.dumps(
        Reduced(pickle.loads, pickle.dumps(Reduced(exec, f"import os; os.mkdir({folder!r})")))
    ),
    "function_by_value": lambda folder: cloudpickle.dumps(Reduced(lambda: __import__("os").mkdir(folder))),
    "in_a_list": lambda folder: b"\x80\x02]cos\nmkdir\n" + text(folder) + b"\x85Ra.",
    "in_the_values": lambda folder: pickle.dumps(TABLE | {"values": Reduced(exec, f"import os; os.mkdir({folder!r})")}),
    "as_a_key": lambda folder: b"\x80\x02}cos\nmkdir\n" + text(folder) + b"\x85RK\x01s.",
    "before_a_sound_table": lambda folder: b"\x80\x04cos\nmkdir\n" + text(folder) + b"\x85R0" + table()[2:],
    "protocol_5": lambda folder: pickle.dumps(Reduced(exec, f"import os; os.mkdir({folder!r})"), protocol=5),
    "protocol_0": lambda folder: pickle.dumps(Reduced(exec, f"import os; os.mkdir({folder!r})"), protocol=0),
}

SILENT = ("ext1", "ext2", "ext4", "persid", "binpersid")
"""Routes that only run code if the reader is prepared for it."""


def bad_tables():
    """Yield names and contents of files that are no Q-tables and run no code."""
    whole = table()
    for cut in (1, 2, 3, 10, 20, 50, 100, 300, 1_000, 2_000, len(whole) - 100, len(whole) - 1):
        yield f"cut_at_{cut}", whole[:cut]
    yield "empty", b""
    yield "zeros", bytes(5_000)
    yield "text", b"a model, honestly\n" * 50
    yield "html", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "json", b'{"values": [[1.0, 2.0, 3.0]]}'
    yield "numpy_array", np.arange(12.0).dumps()
    yield "trailing_bytes", whole + b"\x00"
    yield "trailing_pickle", whole + whole
    yield "two_values", b"\x80\x02K\x01K\x02."
    yield "nothing", b"\x80\x02."
    yield "none", pickle.dumps(None)
    yield "list", plain([1.0, 2.0])
    for key in TABLE:
        yield f"without_{key}", table(**{key: ...})
    yield "another_key", table(extra=1)
    yield "key_twice_as_number", pickle.dumps({1: 2} | TABLE)
    rows = TABLE["values"]
    values = {
        "of_another_shape": rows[:-1],
        "ragged": [*rows[:-1], [1.0]],
        "flat": [0.5] * 405,
        "deep": [[[1.0] * 3]] * 135,
        "of_five_actions": [[0.5] * 5] * 135,
        "of_two_actions": [[0.5] * 2] * 135,
        "of_nothing": [],
        "of_empty_rows": [[]] * 135,
        "of_texts": [[f"text {row}"] for row in range(135)],
        "of_none": [[None] * 3] * 135,
        "of_flags": [[True] * 3] * 135,
        "of_huge_integers": [[10**30] * 3] * 135,
        "a_text": "some values",
        "a_number": 3.0,
        "nan": [[float("nan")] * 3, *rows[1:]],
        "inf": [*rows[:-1], [float("inf")] * 3],
        "minus_inf": [*rows[:-1], [0.5, 0.5, float("-inf")]],
    }
    for name, changed in values.items():
        yield f"values_{name}", table(values=changed)
    for name, edges in {
        "falling": list(range(14))[::-1],
        "equal": [0] * 14,
        "nan": [*range(13), float("nan")],
        "texts": [f"edge {edge}" for edge in range(14)],
        "a_number": 14,
        "infinite": [*range(13), float("inf")],
        "flags": [False, True, *range(2, 14)],
    }.items():
        yield f"edges_{name}", table(spare_capacities=edges)
    yield "timesteps_negative", table(timesteps=-5)
    yield "timesteps_a_text", table(timesteps="many")
    # Bombs: small files that ask for much.
    yield "long_text", b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x."
    yield "long_bytes", b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x."
    yield "long_number", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x."
    yield "negative_length", b"\x80\x02\x8b" + struct.pack("<i", -5) + b"x."
    yield "far_memory", b"\x80\x02Nr\xff\xff\xff\xff."
    yield "frame_too_long", b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N."
    yield "many_lists", b"\x80\x04" + b"]" * 3_000_000 + b"."
    yield "many_marks", b"\x80\x04" + b"(" * 3_000_000 + b"."
    yield "many_tokens", b"\x80\x04" + b"N0" * 1_500_000 + b"N."
    yield "nested_lists", b"\x80\x04" + b"]" * 90_000 + b"a" * 89_999 + b"."
    yield "doubling", b"\x80\x04N" + b"2\x86" * 200 + b"."
    yield "laughs", b"\x80\x04]\x94" + b"".join(b"(" + b"h%c" % place * 10 + b"l\x94" for place in range(60)) + b"."
    collisions = b"".join(
        b"\x8a\x0a" + (place * (2**61 - 1)).to_bytes(10, "little", signed=True) + b"N" for place in range(1, 30_000)
    )
    yield "colliding_keys", b"\x80\x04}(" + collisions + b"u."
    yield "unknown_token", b"\x80\x04\xff."
    yield "get_of_nothing", b"\x80\x04h\x05."
    yield "append_to_nothing", b"\x80\x04Na."
    yield "too_large", b"\x80\x04]" + bytes(5 * 2**20)
