import subprocess
import sys

import pytest
import torch

from interpolants.data import available, load
from interpolants.foundations.errors import InvalidInputError, MissingExtraError


@pytest.mark.slow
def test_every_name_loads_or_says_what_to_install():
    there = available()
    assert there["digits"]
    missing = []
    for name, present in there.items():
        if name in ("fashion_mnist", "flights"):  # large: in their own tests
            continue
        if not present:
            with pytest.raises(MissingExtraError, match=rf"load_{name} needs .* Install it with: "):
                load(name, "test")
            continue
        try:
            data = load(name, "test")
        except MissingExtraError as error:  # the file is there, its reader is not
            missing.append(str(error))
            continue
        assert data.info.name == name
        assert data.x.dtype in ((torch.int64,) if data.info.symbols else (torch.float32, torch.float64))
        assert tuple(data.x.shape) == data.info.shape
        assert data.labels is None or data.labels.dtype == torch.int64
        assert len(data.info.columns) in (0, data.x.shape[1], data.x.shape[-1])  # of tracks: coordinates
        seen = torch.isfinite(data.x)
        # Series may have gaps, and tracks end at different times.
        series = data.info.frequency and bool(seen.any(0).all())
        tracks = data.x.ndim == 4 and data.info.columns and bool(seen.flatten(1).any(1).all())
        assert bool(seen.all()) or series or tracks
    assert all("needs rdata" in text or "needs h5py" in text for text in missing)


def test_options_pass_and_typos_do_not():
    assert load("digits", "all", dequantise=True).info.scaling == "2 (v + u) / 17 - 1"
    with pytest.raises(
        InvalidInputError, match=r"name must be one of .*, got 'digitts'. Did you mean 'digits'"
    ):
        load("digitts")
    with pytest.raises(InvalidInputError, match=r"got dequantize. Did you mean 'dequantise'"):
        load("digits", dequantize=True)
    with pytest.raises(InvalidInputError, match=r"got noise. load_wine has none"):
        load("wine", noise=1)


def test_looking_for_files_imports_nothing_heavy():
    code = (
        "import sys; from interpolants.data import available, load; available(); load('digits');"
        "print(sorted({'sklearn', 'scanpy', 'plotnine', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
