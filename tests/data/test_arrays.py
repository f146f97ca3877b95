import io

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from interpolants.data.arrays import as_tensor, restore
from interpolants.foundations.errors import InvalidInputError


def values(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 2), (5, 1, 4, 3)])
def test_tensors_return_as_they_came(dtype, shape):
    given = values(*shape).to(dtype)
    x, kind = as_tensor(given, "fit")
    assert x.shape == (given.shape if len(shape) > 1 else (5, 1))
    assert x.dtype == dtype
    back = restore(x.double(), kind)
    assert back.dtype == dtype
    assert torch.equal(back, given)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f8")])
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 2)])
def test_numpy_arrays_return_as_they_came(dtype, shape):
    given = values(*shape).numpy().astype(dtype)
    x, kind = as_tensor(given, "fit")
    assert_close(x.double().numpy().reshape(shape), given.astype(np.float64))
    back = restore(x, kind)
    assert back.dtype == given.dtype
    assert np.array_equal(back, given)


def test_awkward_memory_is_copied():
    base = values(6, 2).numpy()
    assert_close(as_tensor(base[::-1], "fit")[0], torch.from_numpy(base.copy()).flip(0))
    fixed = base.copy()
    fixed.flags.writeable = False
    assert_close(as_tensor(fixed, "fit")[0], torch.from_numpy(base))


def test_gradients_are_cut_and_dtype_can_be_asked_for():
    x, kind = as_tensor(values(3, 2).requires_grad_(), "fit", dtype=torch.float32)
    assert not x.requires_grad
    assert x.dtype == torch.float32
    assert restore(x, kind).dtype == torch.float64


def test_frames_keep_their_columns_and_log_densities_become_a_series():
    pandas = pytest.importorskip("pandas", reason="pip install 'interpolants[data]'")
    frame = pandas.DataFrame({"a": [1.5, 2.5], "n": [1, 2], "flag": [True, False]})
    x, kind = as_tensor(frame, "fit")
    assert_close(x, torch.tensor([[1.5, 1, 1], [2.5, 2, 0]], dtype=torch.float64))
    back = restore(torch.cat([x, x]), kind)
    assert list(back.columns) == ["a", "n", "flag"]
    assert back.shape == (4, 3)
    assert isinstance(restore(x[:, 0], kind), pandas.Series)
    assert restore(x[:, :2], kind).shape == (2, 2)

    series = pandas.Series([1.0, 2.0], name="price", dtype="float32")
    x, kind = as_tensor(series, "fit")
    assert x.shape == (2, 1)
    pandas.testing.assert_series_equal(restore(x, kind), series)


def test_frames_with_words_or_gaps_are_refused_by_name():
    pandas = pytest.importorskip("pandas", reason="pip install 'interpolants[data]'")
    with pytest.raises(InvalidInputError, match=r"fit: x0 must have numeric columns, got column 'city'"):
        as_tensor(pandas.DataFrame({"a": [1.0], "city": ["Bonn"]}), "fit", "x0")
    gaps = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64")})
    with pytest.raises(InvalidInputError, match=r"1 of 2 rows with NaN or infinite values \(row 1\)"):
        as_tensor(gaps, "fit")


def test_lists_of_numbers_and_of_tensors():
    x, kind = as_tensor([[1, 2], [3, 4.5]], "fit")
    assert_close(x, torch.tensor([[1, 2], [3, 4.5]], dtype=torch.float64))
    assert restore(x, kind) == [[1, 2], [3, 4.5]]
    x, kind = as_tensor([1, 2, 3], "fit")
    assert x.shape == (3, 1)
    assert restore(x, kind) == [1, 2, 3]
    rows = list(values(4, 2))
    assert_close(as_tensor(rows, "fit")[0], torch.stack(rows))
    with pytest.raises(InvalidInputError, match=r"x must be a regular list of numbers"):
        as_tensor([[1, 2], [3]], "fit")
    with pytest.raises(InvalidInputError, match=r"rows of x must have one shape, got \[\(2,\), \(3,\)\]"):
        as_tensor([torch.zeros(2), torch.zeros(3)], "fit")


class Squares(Dataset):
    """Map-style, with a label, and no IndexError at its end."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return torch.full((2,), float(index) ** 2), index


class Stream(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return (np.full(2, float(i)) for i in range(self.n))


def test_datasets_and_loaders_are_unrolled_without_their_labels():
    expected = torch.arange(7.0).square()[:, None].expand(7, 2)
    assert_close(as_tensor(Squares(), "fit")[0], expected)
    assert_close(as_tensor(DataLoader(Squares(), batch_size=3), "fit")[0], expected)
    assert_close(as_tensor(TensorDataset(expected, torch.arange(7)), "fit")[0], expected)
    assert_close(as_tensor(Stream(3), "fit")[0], torch.arange(3.0).double()[:, None].expand(3, 2))
    x, kind = as_tensor(Squares(), "fit")
    assert torch.equal(restore(x, kind), x)


def test_a_dataset_without_end_is_stopped():
    with pytest.raises(InvalidInputError, match=r"x must fit 1 MiB when unrolled, got 1 MiB so far"):
        as_tensor(Stream(10**9), "fit", max_bytes=2**20)
    with pytest.raises(InvalidInputError, match=r"x must fit 0 MiB when unrolled, got 0 MiB. Pass a subset"):
        as_tensor(Squares(), "fit", max_bytes=55)  # 7 rows of 8 bytes
    as_tensor(Squares(), "fit", max_bytes=56)
    with pytest.raises(InvalidInputError, match=r"x must not be empty, got no items"):
        as_tensor(Stream(0), "fit")


def test_distributions_are_drawn_by_the_generator_and_nothing_else():
    distribution = torch.distributions.MultivariateNormal(torch.tensor([5.0, -1.0]), torch.eye(2))
    before = torch.get_rng_state()
    first, kind = as_tensor(distribution, "fit", samples=400, generator=torch.Generator().manual_seed(1))
    second, _ = as_tensor(distribution, "fit", samples=400, generator=torch.Generator().manual_seed(1))
    third, _ = as_tensor(distribution, "fit", samples=400, generator=torch.Generator().manual_seed(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert bool(((first.mean(0) - distribution.mean).abs() < 5 / 20).all())  # 5 standard errors
    assert torch.equal(restore(first, kind), first)
    scalar, kind = as_tensor(torch.distributions.Normal(0.0, 1.0), "fit", samples=3)
    assert scalar.shape == (3, 1)
    assert restore(scalar, kind).shape == (3,)


def test_what_draws_from_numpy_is_seeded_too_and_its_state_left_alone():
    class Mixture:  # scikit-learn's mixtures draw so
        def sample(self, n):
            return np.random.normal(size=(n, 2)), np.zeros(n)

    np.random.seed(0)
    expected = np.random.normal()
    np.random.seed(0)
    drawn = [
        as_tensor(Mixture(), "fit", samples=5, generator=torch.Generator().manual_seed(k))[0]
        for k in (3, 3, 4)
    ]
    assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    assert not torch.equal(drawn[0], drawn[2])
    assert np.random.normal() == expected


def test_other_objects_that_sample():
    class Ours:
        def sample(self, n, *, generator=None):
            return torch.randn(n, 2, generator=generator)

    class Mixture:  # as in scikit-learn
        def sample(self, n):
            return torch.randn(n, 2).numpy(), np.zeros(n)

    for distribution in (Ours(), Mixture()):
        a, b = (
            as_tensor(distribution, "fit", samples=5, generator=torch.Generator().manual_seed(3))[0]
            for _ in range(2)
        )
        assert a.shape == (5, 2)
        assert torch.equal(a, b)
        with pytest.raises(InvalidInputError, match=r"so a number of samples must be given, got None"):
            as_tensor(distribution, "fit")

    class Wrong:
        def sample(self, n):
            return torch.zeros(n + 1, 2)

    with pytest.raises(InvalidInputError, match=r"x.sample\(5\) must return 5 rows, got shape \(6, 2\)"):
        as_tensor(Wrong(), "fit", samples=5)


def test_an_array_of_xarray_comes_back_with_its_axes_and_what_fits_of_its_coordinates():
    xarray = pytest.importorskip("xarray", reason="pip install 'interpolants[science]'")
    times = 1.7e9 + np.arange(4.0)  # seconds since 1970, which float32 would merge
    values = times[:, None, None] + np.zeros((1, 2, 3))
    given = xarray.DataArray(values, dims=("time", "y", "x"), coords={"time": times, "x": [10, 20, 30]})
    x, kind = as_tensor(given, "fit")
    assert x.dtype == torch.float64
    xarray.testing.assert_identical(restore(x, kind), given)
    fewer = restore(x[:2], kind)
    assert (fewer.dims, [*fewer.coords]) == (given.dims, ["x"])
    assert restore(x[:, 0, 0], kind).dims == ("time",)
    with pytest.raises(
        InvalidInputError, match=r"must be an xarray\.DataArray, got Dataset\. Pass one variable"
    ):
        as_tensor(given.to_dataset(name="v"), "fit")


def test_objects_with_values_or_an_array_interface():
    class Labelled:  # as in xarray
        values = np.arange(6.0).reshape(3, 2)

    class Foreign:
        def __array__(self, dtype=None, copy=None):
            return np.arange(6.0).reshape(3, 2)

        def sample(self, n):
            raise AssertionError("a table is not a distribution")

    for data in (Labelled(), Foreign()):
        x, kind = as_tensor(data, "fit")
        assert_close(x, torch.arange(6.0).double().reshape(3, 2))
        assert isinstance(restore(x, kind), np.ndarray)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.arange(4), r"x must be floating point, got torch.int64. Convert it on purpose"),
        (np.zeros((2, 2), dtype=np.uint8), r"x must be floating point, got torch.uint8"),
        (torch.zeros(2, dtype=torch.complex64), r"got torch.complex64. Stack its real"),
        (torch.tensor(1.0), r"x must have a dimension of samples, got a single number"),
        (torch.zeros(0, 2), r"x must not be empty, got shape \(0, 2\)"),
        (torch.zeros(2, 0), r"x must not be empty, got shape \(2, 0\)"),
        ([], r"x must not be empty"),
        (np.array(["a"]), r"x must be numeric, got type <U1"),
        (np.array([None, 1.0]), r"x must be numeric, got type object"),
        (torch.zeros(2, 2).to_sparse(), r"x must be dense, got torch.sparse_coo"),
        (torch.tensor([[0.0], [float("nan")], [float("inf")]]), r"2 of 3 rows with NaN .*\(row 1, 2\)"),
        ({"a": 1}, r"x must hold samples, got dict"),
        ("file.npy", r"x must hold samples, got str"),
    ],
    ids=str,
)
def test_what_is_no_set_of_samples_is_refused(data, message):
    with pytest.raises(InvalidInputError, match=r"^fit: .*" + message):
        as_tensor(data, "fit")


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_table_whose_cells_were_not_separated_is_refused(mark):
    """pandas.read_csv reads decimal commas between semicolons as an index and one column of decimals."""
    pandas = pytest.importorskip("pandas")
    text = f"a{mark}b{mark}c\n0,5{mark}1,5{mark}2,5\n3,5{mark}4,5{mark}5,5\n"
    table = pandas.read_csv(io.StringIO(text)) if mark == ";" else pandas.DataFrame({f"a{mark}b": [1.0, 2.0]})
    with pytest.raises(InvalidInputError, match=r"x1 must have a column for each name, got 'a.*sep=';'"):
        as_tensor(table, "Bridge.fit", "x1")


def test_row_numbers_that_pandas_wrote_are_no_column():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [0.5, 1.5, 2.5], "b": [1.0, 2.0, 4.0]})
    text = table.to_csv()
    with pytest.raises(InvalidInputError, match=r"x1 must not have row numbers as a column.*index_col=0"):
        as_tensor(pandas.read_csv(io.StringIO(text)), "Bridge.fit", "x1")
    as_tensor(pandas.read_csv(io.StringIO(text), index_col=0), "Bridge.fit", "x1")
    as_tensor(table.rename(columns={"a": "Unnamed: 0"}), "Bridge.fit", "x1")  # measured: taken
