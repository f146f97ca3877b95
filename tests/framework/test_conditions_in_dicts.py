"""Several conditions of a row, and data sets that bring labels with their samples."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset, TensorDataset

from interpolants import Bridge, load
from interpolants.foundations.errors import InvalidInputError

N = 240
KINDS = np.array(["low", "high"])[np.arange(N) % 2]
DOSE = np.linspace(-1, 1, N)[np.random.default_rng(0).permutation(N)]
X = torch.from_numpy(
    np.where(KINDS == "low", -4.0, 4.0)[:, None] + np.random.default_rng(1).normal(size=(N, 2)) / 4
)
QUICK = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "lr": 3e-3, "batch_size": 128, "held_out": 0}


def bridge(steps=150):
    return Bridge(path="one_sided_linear", steps=steps, **QUICK)


class Words(Dataset):
    """Items of a sample and a word."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return X[i], str(KINDS[i])


@pytest.fixture(scope="module")
def fitted():
    return bridge().fit(x1=X, cond={"kind": KINDS, "dose": DOSE}, progress=False)


@pytest.mark.slow
def test_a_dict_of_labels_and_vectors_is_followed(fitted, tmp_path):
    high = fitted.sample(100, cond={"kind": "high", "dose": 0.3}, seed=0)
    low = fitted.sample(100, cond={"dose": np.zeros(100), "kind": ["low"] * 100}, seed=0)
    assert float(high.mean()) > 3
    assert float(low.mean()) < -3
    fitted.save(tmp_path / "b")
    again = load(tmp_path / "b")
    assert torch.equal(again.sample(100, cond={"kind": "high", "dose": 0.3}, seed=0), high)
    assert torch.isfinite(fitted.log_prob(X[:5], cond={"kind": KINDS[:5], "dose": DOSE[:5]})).all()


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        ({"kind": "high"}, "cond must be what it was in the fit, a dict of kind, dose, got a dict of kind"),
        (
            {"kind": "hihg", "dose": 0.0},
            r"cond\['kind'\] must be labels of the fit, got 'hihg'. Did you mean 'high'",
        ),
        ({"kind": "high", "dose": np.zeros(3)}, r"cond\['dose'\] must have shape"),
        (0.3, "cond must be a dict of kind, dose, as in the fit, got float"),
        (torch.zeros(3), "cond must be a dict of kind, dose"),
    ],
)
def test_other_conditions_than_those_of_the_fit_are_refused(fitted, cond, message):
    with pytest.raises(InvalidInputError, match=message):
        fitted.sample(4, cond=cond)


def test_a_dict_is_refused_where_the_fit_had_one_condition():
    one = bridge(2).fit(x1=X, cond=DOSE, progress=False)
    with pytest.raises(InvalidInputError, match="a single condition, got a dict of dose"):
        one.sample(4, cond={"dose": 0.1})
    with pytest.raises(InvalidInputError, match="must have as many rows"):
        bridge(2).fit(x1=X, cond={"kind": KINDS[:9], "dose": DOSE})
    with pytest.raises(InvalidInputError, match="an empty dict"):
        bridge(2).fit(x1=X, cond={})


def test_a_table_with_words_is_a_dict_of_its_columns(fitted):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"kind": KINDS, "dose": DOSE})
    one = bridge().fit(x1=X, cond=table, progress=False)
    assert_close(
        one.sample(9, cond=table[:9], seed=0), fitted.sample(9, cond={n: table[n][:9] for n in table}, seed=0)
    )


@pytest.mark.slow
def test_fields_stand_beside_labels_and_vectors():
    images, fields = torch.randn(24, 1, 8, 8), torch.randn(24, 2, 8, 8)
    cond = {"field": fields, "kind": KINDS[:24], "dose": DOSE[:24]}
    net = {"kind": "unet", "channels": 8, "multipliers": (1, 1)}
    one = Bridge(path="one_sided_linear", net=net, steps=2, batch_size=8, held_out=0).fit(
        x1=images, cond=cond, progress=False
    )
    asked = {"field": fields[:2], "kind": "low", "dose": 0.0}
    assert one.sample(2, cond=asked, seed=0).shape == (2, 1, 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda s: s, lambda s: DataLoader(s, batch_size=50, shuffle=True)])
@pytest.mark.parametrize("data", [TensorDataset(X, torch.arange(N) % 2), Words()])
def test_labels_of_a_data_set_are_read_with_its_samples(data, make):
    given = make(data)
    one = bridge().fit(x1=given, cond=given, progress=False)
    low = "low" if isinstance(data, Words) else 0
    assert float(one.sample(100, cond=low, seed=0).mean()) < -3
    assert one.log_prob(data, cond=data).shape == (N,)


def test_orders_that_differ_are_refused():
    loader = DataLoader(TensorDataset(X), batch_size=50, shuffle=True)
    with pytest.raises(InvalidInputError, match="order of those of cond, got a loader that shuffles"):
        bridge(2).fit(x1=loader, cond=DOSE)
    with pytest.raises(InvalidInputError, match="order of those of x1, got a loader that shuffles"):
        Bridge(coupling="paired", steps=2).fit(loader, X)
    with pytest.raises(InvalidInputError, match=r"items must be \(sample, label\), got items of 1 member"):
        bridge(2).fit(x1=loader, cond=loader)
    with pytest.raises(InvalidInputError, match="must be the one that holds the samples too"):
        bridge(2).fit(x1=X, cond=TensorDataset(X))
    bridge(2).fit(x1=DataLoader(TensorDataset(X), batch_size=50), cond=DOSE, progress=False)


def test_columns_of_tables_of_conditions_are_known_by_name():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"age": np.arange(N) % 50, "dose": DOSE})  # whole numbers of tables are measured
    one = bridge(5).fit(x1=X, cond=table, progress=False)
    asked = table[:7]
    assert torch.equal(one.sample(7, cond=asked[["dose", "age"]], seed=0), one.sample(7, cond=asked, seed=0))
    assert torch.equal(one.sample(7, cond=asked.to_numpy(), seed=0), one.sample(7, cond=asked, seed=0))
    with pytest.raises(InvalidInputError, match=r"cond must have shape \(3, 2\), got \(\)"):
        one.sample(3, cond=0.5)


def test_rows_of_tables_in_another_order_are_refused():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X.numpy(), index=[f"r{i}" for i in range(N)])
    dose = pandas.Series(DOSE, index=table.index)
    with pytest.raises(InvalidInputError, match=r"order of those of x1, got the same index in another order"):
        bridge(2).fit(x1=table, cond=dose[::-1])
    bridge(2).fit(x1=table, cond=dose, progress=False)


def test_no_label_is_refused_where_all_rows_had_one():
    one = bridge(2).fit(x1=X, cond=KINDS, progress=False)
    with pytest.raises(
        InvalidInputError, match="cond must be labels: no row of the fit went without, got -1"
    ):
        one.sample(2, cond=-1)
    two = Bridge(path="one_sided_linear", drop_condition=0.1, steps=2, **QUICK).fit(
        x1=X, cond=KINDS, progress=False
    )
    assert two.sample(2, cond=-1).shape == (2, 2)


def test_held_rows_that_are_no_dict_are_refused():
    with pytest.raises(InvalidInputError, match="held must be a dict of roles"):
        bridge(2).fit(x1=X, held=X)
