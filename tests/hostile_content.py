"""Files that are no tables, and arrays that lie about their size, for tests of readers."""

import gzip
import struct
import zipfile

import numpy as np
from torture.packed_files import header_of

CELLS = "u,v\n" + "1,2\n" * 3
CONTENTS = {
    "quote": b'a,b\n"' + b"x" * 200_000,  # a cell of more characters than Python's reader takes
    "nested": gzip.compress(gzip.compress(CELLS.encode())),
    "zeros": b"a,b\n" + bytes(300),
    "foreign": b"\xff\xfe" + "a,b\n1,2\n".encode("utf-16-le"),
    "short": b"a,b\n1\n",
    "empty": b"",
    "headless": b"\n",
    "words": b"u,v\nx,y\n",
    "other": CELLS.encode(),
    "cut": gzip.compress(CELLS.encode() * 99)[:60],
}


def lying_arrays(folder):
    """Files of NumPy that state more than they hold, or are packed as nobody unpacks them."""
    for n, shape in enumerate(((10**12, 2), (2, 10**17))):
        (folder / f"stated{n}.npy").write_bytes(header_of(shape))
        with zipfile.ZipFile(folder / f"stated{n}.npz", "w") as out:
            for name in ("a", "points", "values"):
                out.writestr(f"{name}.npy", header_of(shape))
    (folder / "text.npy").write_bytes(header_of((3,), f"<U{10**9}"))
    np.savez(folder / "secret.npz", points=np.zeros((4, 2)))
    whole = (folder / "secret.npz").read_bytes()
    directory = whole.rindex(b"PK\x01\x02")
    for name, at, value in (
        ("secret", 8, 1),
        ("packed", 10, 99),
    ):  # a password; a way of packing of the future
        patched = bytearray(whole)
        patched[directory + at : directory + at + 2] = struct.pack("<H", value)
        patched[at - 2 : at] = struct.pack("<H", value)
        (folder / f"{name}.npz").write_bytes(patched)
    return sorted(folder.iterdir())
