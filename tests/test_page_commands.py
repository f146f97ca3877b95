"""The shell commands and recipes of each methods page are run, in their order, on small files of the kind they name.

A run whose recipe has a quick size takes it; a recipe that a page writes out takes the small settings named here. Lines
that install packages are left out. A page whose data no package of this machine brings is skipped with that name.
"""

import re
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from interpolants import Bridge
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.recipes import find_recipe
from interpolants.runs.settings_files import read_settings
from rings import names_absent

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGES = {
    path.stem: text
    for path in sorted((ROOT / "docs/methods").glob("*.md"))
    if not names_absent(text := path.read_text())
}
RUN = CliRunner()
MLP = "{ kind='mlp', width=16, depth=2 }"
# Settings that make a fit small, for recipes whose quick size is none or learns something else than the page asks.
SMALL = {
    "branching": ["method.steps=20"],
    "functional_tucker": ["ask=[]", "claim=[]"],
    "hierarchical_gaussian": ["method.steps=3", "ask=[]", "claim=[]"],
    "images": ["method.steps=3", "ask=[]", "claim=[]"],
    "symbolic_operator_transformer": [
        "method.equations_drawn=20",
        "method.steps=5",
        "method.width=16",
        "ask=[]",
        "claim=[]",
    ],
    "table_bridge": ["method.steps=20", "ask=[]", "claim=[]"],
    "causal_autoencoder": [f"method.net={MLP}", "method.steps=20"],
    "multimodal": ["method.steps=20"],
    "text_to_simulation": ["method.code_steps=20", "method.read_steps=20", "method.steps=20"],
}


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Commands of a page without remarks; first a run that a sentence before the block tells the reader to do."""
    lines = [line.partition("  #")[0].strip() for block in blocks(text, "sh") for line in block.splitlines()]
    shown = [line for line in lines if re.search(r"(^|\| )interpolants ", line)]
    written = " ".join(shown)
    prose = re.findall(r"`interpolants (run --config \S+ --out (\S+))`", text)
    before = [
        f"interpolants {line}"
        for line, out in prose
        if f" {out} " in written and f"--out {out}" not in written
    ]
    return before + shown


WITH_COMMANDS = [name for name, text in PAGES.items() if commands(text)]


def csv(name: str, columns: dict[str, object]) -> None:
    import pandas

    pandas.DataFrame(columns).to_csv(name, index=False)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def discs() -> None:
    """Pictures of discs: a radius, and a brightness that follows from it."""
    radius = rng().uniform(2, 5, 80)
    bright = 0.2 + 0.1 * radius + 0.02 * rng().normal(size=80)
    y, x = np.mgrid[:8, :8] - 3.5
    images = (np.hypot(x, y) < radius[:, None, None] / 1.5) * bright[:, None, None]
    np.save("images.npy", images[:, None])
    np.save("new.npy", images[:5, None])
    csv("factors.csv", {"radius": radius, "bright": bright})
    csv("each.csv", {"radius": np.linspace(2.5, 4, 5)})


def ensembles() -> None:
    import pandas
    import xarray

    shape = (40, 10, 2, 6, 8)
    dims = ("time", "number", "level", "latitude", "longitude")
    coords = {
        "time": pandas.date_range("2015-01-01", periods=40),
        "level": [500, 850],
        "latitude": np.linspace(40, 50, 6),
        "longitude": np.linspace(0, 14, 8),
    }
    z = rng().normal(size=(40, 1, 2, 6, 8)) + rng().normal(size=shape)
    whole = xarray.DataArray(z, name="z", dims=dims, coords=coords).to_dataset()
    whole.to_netcdf("reforecasts.nc")
    whole.isel(time=slice(0, 4), number=slice(0, 2)).to_netcdf("two_members.nc")


def patients() -> None:
    names = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    from sklearn.datasets import load_diabetes

    rows = load_diabetes(as_frame=True, scaled=False).data.head(4)
    rows.columns = names
    rows.to_csv("new.csv", index=False)


def hours() -> None:
    csv("new.csv", {"city": [0, 1], "day": [3, 4], "hour": [5.0, 6.0]})


def tracks() -> None:
    track, frame = np.divmod(np.arange(30 * 32), 32)
    where = np.cumsum(rng().normal(size=(30, 32, 3)), 1).reshape(-1, 3)
    table = {"track": track, "frame": frame, "x": where[:, 0], "y": where[:, 1], "z": where[:, 2]}
    csv("tracks.csv", table)
    kept = (track < 2) & (frame < 10)
    csv("given.csv", {name: values[kept] for name, values in table.items()})


def few() -> None:
    csv("few.csv", {"x": [-1.0, 0.0, 1.0], "y": [0.1, 0.2, -0.1]})
    csv("new.csv", {"x": [0.5, 0.7]})


def slices() -> None:
    """Noisy slices, and a folder of scans of four patients with their masks."""
    import nibabel

    np.save("noisy.npy", rng().uniform(0, 1.4, (2, 1, 32, 32)))
    Path("FOLDER").mkdir()
    for i in range(4):
        image, mask = rng().uniform(size=(32, 32, 20)), rng().integers(0, 3, (32, 32, 20)).astype("uint8")
        for name, values in ((f"p{i}", image), (f"p{i}_mask", mask)):
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), f"FOLDER/{name}.nii.gz")


def flowers() -> None:
    name = rng().choice(["lily", "rose"], 80)
    size = np.where((name == "lily")[:, None], [2.0, 0.0], [0.0, 2.0]) + 0.2 * rng().normal(size=(80, 2))
    csv("sizes.csv", {"long": size[:, 0], "wide": size[:, 1]})
    csv("new.csv", {"long": size[:3, 0], "wide": size[:3, 1]})
    Path("names.txt").write_text("\n".join(name) + "\n")


def rain() -> None:
    import pandas
    import xarray

    times = pandas.date_range("2024-06-01", periods=40, freq="5min")
    frames = np.abs(rng().normal(size=(40, 8, 8)))
    radar = xarray.DataArray(frames, name="rain", dims=("time", "y", "x"), coords={"time": times})
    radar.to_netcdf("radar.nc")
    radar[-3:].to_netcdf("last_hours.nc")


def regimes() -> None:
    csv("past.csv", {"x1": np.tile([0, 1, 1], 4)})
    csv("sensor.csv", {"x1": np.tile([0, 1, 1], 4)})


def fields() -> None:
    z = {f"z{i}": [0.1, 0.2, 0.3] for i in range(5)}
    csv("sensors.csv", {"x": [-0.5, 0.0, 0.5], "u": [0.1, 0.2, 0.1], "w": [1.0, 1.0, 1.0]})
    csv("rows.csv", {"x": [-0.5, 0.0, 0.5], **z, "w": [1.0, 1.0, 1.0]})


def stocks() -> None:
    csv("new.csv", {"month": [1.0, 2.0]})
    csv("groups.csv", {"group": [0, 0]})


def history() -> None:
    import pandas

    def series(n: int) -> dict[str, object]:
        load = 40 + 8 * np.sin(np.arange(n) * np.pi / 12) + rng().normal(size=n)
        return {"time": pandas.date_range("2024-01-01", periods=n, freq="h"), "load": load}

    csv("history.csv", series(2000))
    csv("other_forecast.csv", {"load": np.full(8, 40.0)})


def voices() -> None:
    for name in [f"MY_FOLDER/{i}.wav" for i in range(8)] + [
        "in.wav",
        "noisy_folder/a.wav",
        "noisy_folder/b.wav",
    ]:
        Path(name).parent.mkdir(exist_ok=True)
        phase = 2 * np.pi * rng().uniform(100, 300) * np.arange(8000) / 8000
        sound = (8000 * np.sin(phase) + 200 * rng().normal(size=8000)).astype("<i2")
        with wave.open(name, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(sound.tobytes())


def window() -> None:
    t = np.linspace(0, 1, 20)
    csv("window.csv", {"t": t, "u1": np.sin(t), "u2": np.cos(t), "u3": np.exp(-t)})


def states() -> None:
    csv("states.csv", {"state": [0, 5, 18]})
    csv("observations.csv", {f"o{i}": [0.0, 0.1] for i in range(4)})


def plumes() -> None:
    import xarray

    points, times = rng().uniform(size=(30, 2)), np.linspace(0.1, 1, 5)
    values = {
        f"values{i}": np.exp(-times[:, None] * (i % 3 + 1))[..., None] * np.ones((5, 30, 1))
        for i in range(60)
    }
    shared = {f"points{i}": points for i in range(60)} | {f"times{i}": times for i in range(60)}
    np.savez("sims.npz", **values, **shared)
    Path("prompts.txt").write_text("\n".join(f"Smoke of width 0.1{i % 3} drifts north." for i in range(60)))
    np.savez("mesh.npz", points=points)
    first = xarray.Dataset({"u": (("time", "node"), values["values0"][:2, :, 0])}, coords={"time": times[:2]})
    first.assign_coords(x=("node", points[:, 0]), y=("node", points[:, 1])).to_netcdf("first_frames.nc")


def bent() -> None:
    x = rng().normal(size=(200, 2)).astype(np.float32)
    bridge = Bridge("vp", net={"kind": "mlp", "width": 8, "depth": 1}, steps=20, seed=0)
    bridge.fit(x1=x, progress=False).save("runs/mine")


def days() -> None:
    day = np.datetime64("2024-01-01") + np.arange(200)
    warm = np.sin(np.arange(200) / 58) * 10 + rng().normal(size=200)
    columns = {"date": day, "season": np.where(warm > 0, "warm", "cold"), "rain": rng().poisson(1, 200)}
    csv("days.csv", {**columns, "temperature": warm})


FILES = {
    "branching": lambda: csv("rows.csv", {"x": rng().normal(size=200), "y": rng().normal(size=200)}),
    "causal_autoencoder": discs,
    "ensemble_emulator": ensembles,
    "fitted_solver": bent,
    "functional_prior": patients,
    "functional_tucker": hours,
    "geometric_diffusion": tracks,
    "hierarchical_gaussian": few,
    "images": lambda: None,
    "medical": slices,
    "multimodal": flowers,
    "nowcaster": rain,
    "predictive_rnn": regimes,
    "random_grid_process": fields,
    "scale_mixture_gp": stocks,
    "self_guided_diffusion": history,
    "speech_enhancement": voices,
    "symbolic_operator_transformer": window,
    "table_bridge": days,
    "td_error": states,
    "text_to_simulation": plumes,
}


def has_quick(config: str) -> bool:
    """Whether a recipe of the library has a quick size."""
    path = find_recipe(Path(config))
    return path is not None and "quick" in read_settings(path)


def invoke(page: str, line: str) -> list[str]:
    """Run one command, and return the paths that it was told to write."""
    source, _, line = line.rpartition("| interpolants ")
    line = f"interpolants {line}" if source else line
    words = shlex.split(line)[1:]
    outs = [words[i + 1] for i, word in enumerate(words) if word in ("--out", "-o")]
    if words[0] == "run":
        config = words[words.index("--config") + 1] if "--config" in words else "my_table"  # as it has words
        quick = ["--quick"] if page not in SMALL and has_quick(config) and "--quick" not in words else []
        words += quick + [word for setting in SMALL.get(page, []) for word in ("--set", setting)]
    fed = Path(source.split()[2]).read_text() if source else None  # tail -f FILE
    done = RUN.invoke(app, words, input=fed)
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, f"{line}: {done.output[-2000:]}"
    return outs


def test_every_page_with_commands_has_its_files():
    assert set(WITH_COMMANDS) <= set(FILES)


@pytest.mark.parametrize("page", WITH_COMMANDS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_commands_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    FILES[page]()
    text = PAGES[page]
    lines = commands(text)
    configs = [name for name in re.findall(r"--config (\S+\.toml)", " ".join(lines)) if "/" not in name]
    for name, block in zip(configs, blocks(text, "toml"), strict=True):
        Path(name).write_text(block)
    for line in lines:
        for out in invoke(page, line):
            place = Path(out)
            assert place.exists() or place.is_symlink(), f"{line} wrote no {out}"
            assert any(place.iterdir()) if place.is_dir() else place.stat().st_size > 0, line


def test_a_wrong_command_is_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, InvalidInputError)):
        invoke("images", "interpolants run --config no_such_recipe --out runs/x")
