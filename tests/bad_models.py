"""The corpus of bad model files: hostile, corrupt, foreign, enormous, linked, or oddly named.

`autoscaler verify` refuses each of them in one line, whatever the default loaders do with it.
"""

import os
import socket

from bad_networks import broken_zips, hostile_zips
from bad_pickles import CODE, bad_tables

ODD_NAMES = (
    "new\nline",
    "\x1b[31mred\x1b[0m",
    "tab\there",
    "bell\x07",
    "\u202egpj",
    "zero\u200bwidth",
    "nul-l\x7f",
    "-rf",
    " ",
    "$(touch x)",
    "`touch x`",
    "%s%n",
    "'quoted\"",
    "\U0001f4a3",
    "l\u00f6we",
    "a" * 240,
    "{x}",
    "*",
    "back\\slash",
    "b\udcffytes",
)


def place_odd_files(folder, sound):
    """Make files with odd names, and links, pipes and folders in place of files; return their names.

    Args:
        folder: Where.
        sound: A sound model's file, for links to it.
    """
    made = []
    for name in ODD_NAMES:
        path = folder / f"{name}.pkl"
        path.write_bytes(b"junk")
        made.append(path.name)
    for ending in (".pkl", ".zip"):
        (folder / f"folder{ending}").mkdir()
        (folder / f"folder_with_more{ending}").mkdir()
        (folder / f"folder_with_more{ending}" / "inside.txt").write_text("x")
        os.mkfifo(folder / f"pipe{ending}")
        (folder / f"link{ending}").symlink_to(sound)
        (folder / f"link_to_nothing{ending}").symlink_to("nothing")
        (folder / f"link_to_itself{ending}").symlink_to(f"link_to_itself{ending}")
        (folder / f"link_to_zeros{ending}").symlink_to("/dev/zero")
        (folder / f"link_to_pipe{ending}").symlink_to(folder / f"pipe{ending}")
        with (folder / f"enormous{ending}").open("wb") as file:
            file.truncate(2**40)  # a hole: it takes no room
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(folder / f"socket{ending}"))  # the kernel takes short names only
        kinds = (
            "folder",
            "folder_with_more",
            "pipe",
            "link",
            "link_to_nothing",
            "link_to_itself",
            "link_to_zeros",
            "link_to_pipe",
            "enormous",
            "socket",
        )
        made += [f"{kind}{ending}" for kind in kinds]
    return made


def write_corpus(folder, donors, folder_of, sound, every=1):
    """Write the corpus into a folder; return the names of its files.

    Args:
        folder: Where.
        donors: Sound networks, by algorithm.
        folder_of: Returns the folder that the payload of a name would make, as text.
        sound: A sound model's file, for links to it.
        every: 1 for all of it, n for each n-th of it.
    """
    contents = [(f"code_{route}.pkl", code(folder_of(f"code_{route}.pkl"))) for route, code in CODE.items()]
    contents += hostile_zips(donors, folder_of)
    contents += [(f"{name}.pkl", content) for name, content in bad_tables()]
    contents += [(f"{name}.zip", content) for name, content in broken_zips(donors)]
    kept = contents[::every]
    assert len({name for name, _ in kept}) == len(kept)
    for name, content in kept:
        (folder / name).write_bytes(content)
    return [name for name, _ in kept] + place_odd_files(folder, sound)
