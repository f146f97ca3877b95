"""States and answers have memory of their own, whatever container the rows came in."""

import copy

import numpy as np
import pandas
import pytest
import torch
import xarray

from interpolants.foundations.row_access import LazyRows
from interpolants.foundations.shared_memory import Memory, apart, arrays_in
from interpolants.framework import stored
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role


class Keeper(Method):
    """Keeps what it is given, and views of it, and answers with them."""

    def roles(self):
        return (
            Role(name="x"),
            Role(name="cond", kind="condition", optional=True),
            Role(name="mask", kind="known", optional=True),
            Role(name="parts", kind="ragged", axis="part", optional=True),
        )

    def learn(self, data, run):
        held = {f"held_{name}": value for name, value in run.held.items()}
        return {**data, **held, "view": data["x"][1:].T, "own": data["x"] + 1}

    @capability(like="x")
    def predict(self, x):
        return x

    @capability(like="x")
    def complete(self, x):
        return self.state["view"].T[: len(x)]


def rows():
    return np.arange(12.0).reshape(6, 2)


def mapped(folder):
    array = np.memmap(folder / "x.bin", dtype=np.float64, mode="w+", shape=(6, 2))
    array[:] = rows()
    return array


CONTAINERS = {
    "array": lambda folder: rows(),
    "tensor": lambda folder: torch.from_numpy(rows()),
    "leaf": lambda folder: torch.from_numpy(rows()).requires_grad_(),
    "tensors": lambda folder: [torch.from_numpy(row) for row in rows()],
    "table": lambda folder: pandas.DataFrame(rows(), columns=["a", "b"]),
    "one block": lambda folder: pandas.DataFrame(rows().astype(np.float64), copy=False),
    "xarray": lambda folder: xarray.DataArray(rows(), dims=["row", "column"]),
    "mapped": mapped,
    "data set": lambda folder: torch.utils.data.TensorDataset(torch.from_numpy(rows())),
}


def overwrite(value):
    if isinstance(value, pandas.DataFrame):
        value.iloc[:] = 7.0
    elif isinstance(value, xarray.DataArray):
        value.values[:] = 7.0
    elif isinstance(value, np.ndarray):
        value[:] = 7
    else:
        for array in arrays_in((value,)):
            array.detach().fill_(7)


@pytest.mark.parametrize("container", CONTAINERS)
def test_rows_of_any_container_may_be_overwritten_after_the_fit(container, tmp_path):
    x, held = CONTAINERS[container](tmp_path), rows()
    method = Keeper().fit(x, held={"x": held})
    before = stored.fingerprint(method.learnt())
    overwrite(x)
    overwrite(held)
    assert stored.fingerprint(method.learnt()) == before
    assert np.array_equal(method.state["x"], rows())


def test_conditions_masks_and_items_too():
    given = {
        "cond": torch.arange(6.0)[:, None].double(),
        "mask": torch.ones(6, 2, dtype=torch.bool),
        "parts": [torch.zeros(3, 2), torch.ones(2, 2)],
    }
    method = Keeper().fit(rows(), **given)
    before = stored.fingerprint(method.learnt())
    overwrite(given)
    assert stored.fingerprint(method.learnt()) == before


def test_an_answer_may_be_overwritten():
    x = torch.from_numpy(rows())
    method = Keeper().fit(x)
    before, query = stored.fingerprint(method.learnt()), x.clone()
    method.predict(query).fill_(7)
    method.complete(query).fill_(7)
    assert torch.equal(query, x)
    assert stored.fingerprint(method.learnt()) == before


class OnModel(Method):
    """Keeps the method that it was fitted to."""

    def roles(self):
        return (Role(name="model", kind="model", axis="", needs="complete"),)

    def learn(self, data, run):
        return {"model": data["model"]}


def test_a_method_that_was_learnt_from_may_be_fitted_anew():
    model = Keeper().fit(rows())
    method = OnModel().fit(model)
    before = stored.fingerprint(method.state["model"].learnt())
    model.fit(rows() + 100)
    assert stored.fingerprint(method.state["model"].learnt()) == before
    assert stored.fingerprint(model.learnt()) != before


def test_a_graph_leads_through_an_answer_that_was_copied():
    x = torch.ones(3, requires_grad=True)
    y = apart({"y": x * 2, "x": x}, Memory(x))
    (y["x"].sum() + y["y"].sum()).backward()
    assert torch.equal(x.grad, torch.full((3,), 3.0))


def test_what_is_not_shared_is_not_copied():
    x, own = torch.zeros(4), torch.ones(4)
    state = {"own": own, "net": torch.nn.Linear(2, 2), "rows": x}
    found = apart(state, Memory(x))
    assert found["own"] is own
    assert found["net"].weight.data_ptr() == state["net"].weight.data_ptr()
    assert found["rows"].data_ptr() != x.data_ptr()
    assert apart(state, Memory(torch.zeros(4))) is state


def test_mapped_rows_stay_mapped(tmp_path):
    array = mapped(tmp_path)
    lazy = LazyRows(lambda index: torch.as_tensor(np.array(array[index])), torch.Size((6, 2)), torch.float64)
    assert apart({"x": lazy}, Memory(lazy, array))["x"] is lazy


def test_memory_is_known_by_any_of_its_bytes():
    base = np.arange(20.0)
    held = Memory(base[4:8], torch.from_numpy(base[2:12])[:1])
    assert held.holds(base[11:])
    assert held.holds(base[::-1])
    assert held.holds(base[:3])
    assert not held.holds(base[:2])
    assert not held.holds(base[12:])
    assert not held.holds(copy.copy(base) + 0)
    assert not held.holds(base[4:4])
    assert not Memory(base[4:4]).holds(base)
    assert not held.holds(torch.zeros(3, device="meta"))


def test_attributes_and_slots_are_looked_into():
    class Slotted:
        __slots__ = ("x",)

    class Plain:
        pass

    slotted, plain, x = Slotted(), Plain(), torch.zeros(3)
    slotted.x, plain.inner, plain.again = x, {"slotted": (slotted,)}, x
    assert [id(array) for array in arrays_in([plain])] == [id(x)]
    assert apart(plain, Memory(x)).inner["slotted"][0].x.data_ptr() != x.data_ptr()
