"""Folders of pictures and other item sets as rows: what is read, what is refused, and what training draws."""

import sys

import numpy as np
import pytest
import torch

from interpolants import Bridge
from interpolants.data import Pictures
from interpolants.data.mapped import SMALL
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.row_access import taken, training_rows, without_rows

Image = pytest.importorskip("PIL.Image")

# A network and a fit that are small enough for a test.
QUICK = {"steps": 6, "batch_size": 8, "net": {"kind": "unet", "channels": 8}, "seed": 0}


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path, **options)
    return path


@pytest.fixture
def pets(tmp_path):
    """Twenty-four grey pictures of 8 x 8 in two subfolders; picture k has one level, 10 k."""
    for k in range(24):
        write(tmp_path / "pets" / ("cat" if k % 2 else "dog") / f"{k:02d}.png", np.full((8, 8), 10 * k))
    return tmp_path / "pets"


def test_rows_are_in_the_order_of_paths_with_the_subfolders_as_labels(pets):
    write(pets / ".hidden/x.png", np.zeros((3, 3)))
    (pets / "cat/Thumbs.db").write_bytes(b"x")
    (pets / ".DS_Store").write_bytes(b"x")
    found = Pictures(pets)
    order = [*range(1, 24, 2), *range(0, 24, 2)]
    assert (found.shape, found.classes) == ((24, 1, 8, 8), ("cat", "dog"))
    assert found.labels.tolist() == ["cat"] * 12 + ["dog"] * 12
    assert np.allclose(np.asarray(found)[:, 0, 0, 0], 10 * np.array(order) / 255)
    for index in (slice(3, 9), np.array([5, 0, 5]), np.arange(24) % 5 == 0, 4):
        assert np.array_equal(found[index], np.asarray(found)[index])
    part = found.subset(np.array([23, 1]))
    assert part.labels.tolist() == ["dog", "cat"]
    assert np.array_equal(np.asarray(part), np.asarray(found)[[23, 1]])


def test_pictures_of_any_size_are_scaled_until_they_cover_the_size_and_cut_in_the_middle(tmp_path):
    left, middle, right = (np.full((8, 8), level) for level in (0, 100, 200))
    write(tmp_path / "wide.png", np.concatenate([left, middle, right], 1))
    write(tmp_path / "high.png", np.concatenate([left, middle, right], 0))
    write(tmp_path / "small.png", np.full((2, 2), 50))
    with pytest.raises(InvalidInputError, match=r"3 sizes: .*1 of 8 x 24.*Pass size=32"):
        Pictures(tmp_path)
    found = Pictures(tmp_path, size=8)
    assert np.allclose(found[[0, 2]], 100 / 255)
    assert np.allclose(found[1], 50 / 255)
    assert "1 of them were smaller and were enlarged." in found.notes
    assert any("up to 67% of one was cut off" in note for note in found.notes)
    # Averages survive: a picture of half the size is the mean of its squares.
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64))
    write(tmp_path / "noise.png", pixels)
    assert Pictures(tmp_path, size=(16, 16))[1].mean() == pytest.approx(pixels.mean() / 255, abs=0.01)


def test_grey_and_colour_together_become_colours_and_say_so(tmp_path):
    write(tmp_path / "a.png", np.full((4, 4), 51))
    write(tmp_path / "b.png", np.tile(np.array([255, 0, 0]), (4, 4, 1)))
    found = Pictures(tmp_path)
    assert found.shape == (2, 3, 4, 4)
    assert np.allclose(np.asarray(found)[:, :, 0, 0], [[0.2, 0.2, 0.2], [1, 0, 0]])
    assert "Grey was repeated as red, green and blue in 1 of them." in found.notes
    grey = Pictures(tmp_path, colour=False)
    assert np.allclose(np.asarray(grey)[:, 0, 0, 0], [0.2, 0.299])


def test_a_turned_photograph_counts_with_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    write(tmp_path / "a.png", np.zeros((4, 6)))
    write(tmp_path / "b.png", np.zeros((6, 4)), exif=exif)
    assert Pictures(tmp_path).shape == (2, 1, 4, 6)


def test_files_that_cannot_be_read_are_all_named(pets):
    (pets / "cat/03.png").write_bytes(b"nothing")
    (pets / "dog/04.png").write_bytes(b"")
    with pytest.raises(
        InvalidInputError, match=r"all 24 files must be .* 2 that are not; cat/03.png .*; dog/04.png"
    ):
        Pictures(pets)
    (pets / "dog/04.png").unlink()
    with pytest.raises(InvalidInputError, match=r"cat/03.png must be a whole picture"):
        Bridge("one_sided_linear").fit(x1=str(pets))


def test_a_picture_that_is_cut_off_behind_its_header_is_named_when_it_is_read(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50))
    content = write(tmp_path / "a.png", pixels).read_bytes()
    (tmp_path / "b.png").write_bytes(content[:1000])
    with pytest.raises(InvalidInputError, match=r"b.png must be a whole picture .* a damaged one"):
        np.asarray(Pictures(tmp_path))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.png": True, "notes.txt": False, "b.heic": False}, r"pictures only .*got b.heic, notes.txt"),
        ({"a.png": True, "cat/b.png": True}, r"all lie in subfolders, or none, got 1 next to .* cat"),
        ({"cat/a.png": True, "dog/.keep": False}, r"every subfolder .* must contain pictures, got dog"),
        ({}, "must contain pictures"),
    ],
)
def test_a_folder_without_one_meaning_is_refused(files, told, tmp_path):
    for name, picture in files.items():
        if picture:
            write(tmp_path / name, np.zeros((4, 4)))
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"text")
    with pytest.raises(InvalidInputError, match=told):
        Pictures(tmp_path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 0}, "size must be a whole number >= 1"),
        ({"size": (8, 8, 1)}, "size must be one side"),
        ({"flip": 1}, "flip must be True or False"),
        ({"colour": "grey"}, "colour must be True or False"),
        ({"crop": -1}, "crop must be a whole number >= 0"),
        ({"background": 2}, "background"),
    ],
)
def test_options_are_checked(options, told, pets):
    with pytest.raises(InvalidInputError, match=told):
        Pictures(pets, **options)


def test_training_draws_flips_and_windows_and_everything_else_sees_the_middle(tmp_path):
    pixels = np.arange(64).reshape(8, 8)
    write(tmp_path / "a.png", pixels)
    write(tmp_path / "b.png", pixels + 100)
    found = Pictures(tmp_path, size=6, crop=2, flip=True)
    assert np.allclose(found[0][0], pixels[1:7, 1:7] / 255, atol=1e-6)
    rows = found.rows()
    assert np.array_equal(rows[:].numpy(), np.asarray(found))
    windows = {(p[i : i + 6, j : j + 6][:, ::d] + 100).tobytes() for p in (pixels,)
               for i in range(3) for j in range(3) for d in (1, -1)}  # fmt: skip
    picks = torch.ones(400, dtype=torch.long)
    drawn = training_rows(rows, picks, torch.Generator().manual_seed(0))
    seen = {one.tobytes() for one in np.round(drawn[:, 0].numpy() * 255).astype(pixels.dtype)}
    assert seen == windows  # all 18, each with chance 1/18 in every draw: one is missed with chance 2e-9
    again = training_rows(rows, picks, torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
    for part in (taken(rows, torch.tensor([1])), without_rows(rows, torch.tensor([0]))):
        some = training_rows(part, picks - 1, torch.Generator().manual_seed(0))
        assert torch.equal(some, drawn)


@pytest.mark.slow
def test_a_fit_of_pictures_is_that_of_their_array_and_takes_labels_by_name(pets):
    pictures = Pictures(pets)
    rows = np.asarray(pictures)
    whole = Bridge("one_sided_linear", **QUICK).fit(x1=rows, cond=pictures.labels, progress=False)
    for cond in (pictures, str(pets)):
        ours = Bridge("one_sided_linear", **QUICK).fit(x1=pictures, cond=cond, progress=False)
        told = ours.sample(3, cond="cat", seed=1)
        assert np.array_equal(told, whole.sample(3, cond="cat", seed=1))
    with pytest.raises(InvalidInputError, match="'bird'"):
        ours.sample(1, cond="bird")


@pytest.mark.slow
def test_a_fit_with_flips_and_crops_resumes_to_the_same_bits(pets, tmp_path):
    pictures = Pictures(pets, size=8, crop=2, flip=True)
    how = {**QUICK, "schedule": "constant", "checkpoint_every": 2}
    first = Bridge("one_sided_linear", **how).fit(x1=pictures, progress=False)
    kept = {"progress": False, "out": tmp_path / "run"}
    Bridge("one_sided_linear", **{**how, "steps": 4}).fit(x1=pictures, **kept)
    rest = Bridge("one_sided_linear", **how).fit(
        x1=Pictures(pets, size=8, crop=2, flip=True), **kept, resume=True
    )
    assert np.array_equal(first.sample(4, seed=0), rest.sample(4, seed=0))
    plain = Bridge("one_sided_linear", **how).fit(x1=Pictures(pets, size=8), progress=False)
    assert not np.array_equal(first.sample(4, seed=0), plain.sample(4, seed=0))


# --- data sets of PyTorch ----------------------------------------------------------------------------


class Items(torch.utils.data.Dataset):
    """More than fits in memory at once, as far as the library is concerned; it counts how often it is read."""

    def __init__(self, n=40, flips=False):
        self.x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        self.flips, self.read = flips, 0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        self.read += 1
        x = self.x[k]
        return (x.flip(-1) if self.flips and torch.rand(()) < 0.5 else x), k % 2


@pytest.fixture
def streamed(monkeypatch):
    monkeypatch.setattr("interpolants.data.item_sets.SMALL", 100)
    assert SMALL > 100


@pytest.mark.slow
@pytest.mark.usefixtures("streamed")
def test_a_large_data_set_or_loader_is_stored_once_and_gives_the_fit_of_its_rows():
    items = Items()
    whole = Bridge("one_sided_linear", **QUICK).fit(x1=items.x, cond=torch.arange(40) % 2, progress=False)
    wanted = whole.sample(3, cond=1, seed=0)
    for shuffle in (None, False, True):
        data = items if shuffle is None else torch.utils.data.DataLoader(items, 8, shuffle=shuffle)
        items.read = 0
        ours = Bridge("one_sided_linear", **QUICK).fit(x1=data, cond=data, progress=False)
        assert torch.equal(ours.sample(3, cond=1, seed=0), wanted)
        assert items.read <= 3 * len(items)  # samples, labels, probes: not once for every step


@pytest.mark.slow
@pytest.mark.usefixtures("streamed")
def test_random_transforms_are_drawn_anew_for_every_step_from_its_own_stream():
    fits = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # not what the transforms follow
            ours = Bridge("one_sided_linear", **QUICK).fit(x1=Items(flips=True), progress=False)
        fits.append(ours.sample(3, seed=0))
    frozen = Bridge("one_sided_linear", **QUICK).fit(x1=Items(), progress=False)
    assert torch.equal(*fits)
    assert not torch.equal(fits[0], frozen.sample(3, seed=0))


@pytest.mark.usefixtures("streamed")
def test_a_loader_that_weighs_or_leaves_out_items_keeps_doing_so():
    items = Items()
    sampler = torch.utils.data.SubsetRandomSampler(range(30), torch.Generator().manual_seed(0))
    ours = Bridge("one_sided_linear", **QUICK).fit(
        x1=torch.utils.data.DataLoader(items, 8, sampler=sampler), progress=False
    )
    assert sum(ours.set_aside().values()) + len(ours.state["pool1"].x) == 30


@pytest.mark.usefixtures("streamed")
def test_items_of_two_shapes_or_without_a_number_are_refused():
    items = Items()
    items.x = [*items.x[:30], torch.zeros(1, 8, 9), *items.x[31:]]
    with pytest.raises(InvalidInputError, match=r"items of x1 must have the same shape"):
        Bridge("one_sided_linear", **QUICK).fit(x1=items, progress=False)
    items = Items()
    items.x[7, 0, 0, 0] = torch.nan
    with pytest.raises(InvalidInputError, match=r"item 7: x1 must be finite"):
        Bridge("one_sided_linear", **QUICK).fit(x1=items, progress=False)


def test_a_hugging_face_data_set_is_its_pictures_with_the_names_of_its_classes(pets):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    folder = Pictures(pets)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])}
    )
    rows = {"image": [str(file) for file in sorted(pets.rglob("*.png"))], "label": [1] * 12 + [0] * 12}
    data = datasets.Dataset.from_dict(rows, features=features)
    ours = Pictures(data)
    assert np.array_equal(np.asarray(ours), np.asarray(folder))
    assert ours.labels.tolist() == folder.labels.tolist()
    fits = [Bridge("one_sided_linear", **QUICK).fit(x1=x, cond=x, progress=False) for x in (data, folder)]
    assert np.array_equal(*(fit.sample(2, cond="dog", seed=0) for fit in fits))
    with pytest.raises(InvalidInputError, match=r"one column of pictures .*label \(ClassLabel\)"):
        Pictures(data.remove_columns("image"))
    assert "datasets" in sys.modules
