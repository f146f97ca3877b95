"""Rows written to several files: a folder of arrays, and archives with an array per sample."""

import io
import tarfile

import numpy as np


def rows(n=23, shape=(3,), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(dtype)


def folder_of_arrays(x, place, sizes):
    """The rows in files of the sizes, named so that the order of names is that of rows."""
    place.mkdir(exist_ok=True)
    ends = np.cumsum(sizes)
    for number, part in enumerate(np.split(x, ends[:-1])):
        np.save(place / f"part{number:03d}.npy", part)
    return place


def packed(place, members, mode="w"):
    """A tar with these members, name -> bytes."""
    with tarfile.open(place, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return place


def as_npy(x):
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def archive_of(x, place, first=0):
    return packed(
        place, {f"s{first + k:05d}.npy": as_npy(np.asarray(row, x.dtype)) for k, row in enumerate(x)}
    )
