"""Pairs and latent term that a bridge takes where neither was asked for."""

import importlib.util

import pytest
import torch

import interpolants as itp
from interpolants.couplings import Independent, MinibatchOT
from interpolants.methods.bridge import pairs_by_data
from interpolants.paths import BrownianEnvelope, Linear
from interpolants.runs.run_facts import formulas_of

SMALL = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 3, "batch_size": 32, "seed": 0}
CHOSEN = {"path": Linear(envelope=BrownianEnvelope(scale=0.1)), "coupling": MinibatchOT(sub_batch=256)}


def sets(n=600, columns=2):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, columns, generator=g), torch.randn(n, columns, generator=g) * 0.3 + 2


def fit(x0, x1, *, cond=None, **settings):
    return itp.Bridge(**{**SMALL, **settings}).fit(x0, x1, cond=cond, progress=False)


def test_two_large_sets_are_paired_by_optimal_transport_to_the_bits_of_asking_for_it():
    x0, x1 = sets()
    found, asked = fit(x0, x1), fit(x0, x1, **CHOSEN)
    assert (found.pairing, found.fitted_path) == (CHOSEN["coupling"], CHOSEN["path"])
    assert torch.equal(found.transport(x0[:9]), asked.transport(x0[:9]))
    assert torch.equal(found.sample(9, eps=0.5, seed=1), asked.sample(9, eps=0.5, seed=1))
    assert [str(c) for c in found.check(n=100).checks] == [str(c) for c in asked.check(n=100).checks]


def test_what_was_chosen_is_kept_with_the_bridge_and_told_in_its_formulas(tmp_path):
    x0, x1 = sets()
    again = itp.load(fit(x0, x1).save(tmp_path / "bridge"))
    assert again.pairing == CHOSEN["coupling"]
    assert (again.get_params()["path"], again.get_params()["coupling"]) == ("auto", "auto")
    assert any("0.1" in line for line in formulas_of(again))
    assert not any("0.1" in line for line in formulas_of(fit(x0, x1, path="linear")))


@pytest.mark.parametrize(
    "settings",
    [
        {"path": "linear"},
        {"coupling": "independent"},
        {"heads": ("velocity", "noise")},
        {"standardize": False},
        {"perturb": 0.1},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_whoever_names_a_part_of_it_gets_independent_pairs(settings):
    found = fit(*sets(), **settings)
    assert found.pairing == Independent()
    assert found.fitted_path == Linear()


@pytest.mark.parametrize(("rows", "columns"), [(300, 2), (600, 70)])
def test_few_rows_a_column_and_many_columns_are_paired_at_random(rows, columns):
    assert fit(*sets(rows, columns)).pairing == Independent()


def test_images_and_rows_with_conditions_are_paired_at_random():
    x0, x1 = sets()
    assert fit(x0, x1, cond=(x1[:, 0] > 2).long()).pairing == Independent()
    image0, image1 = (x.reshape(-1, 1, 2, 2) for x in sets(900, 4))
    assert fit(image0, image1).pairing == Independent()


def test_one_side_alone_and_a_coupling_of_ones_own_are_left_as_they_are():
    x0, x1 = sets()
    assert fit(x0, x0 + 1, coupling="paired").fitted_path == Linear()
    one_sided = itp.Bridge("one_sided_linear", **SMALL).fit(x1=x1, progress=False)
    assert one_sided.pairing == Independent()


def test_without_scipy_vectors_are_paired_at_random_and_numbers_are_sorted(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        pairs_by_data.importlib.util, "find_spec", lambda name: None if name == "scipy" else found(name)
    )
    assert fit(*sets()).pairing == Independent()
    assert fit(*sets(600, 1)).pairing == CHOSEN["coupling"]


def test_endless_rows_are_paired_too():
    def draw(n, generator):
        return torch.randn(n, 2, generator=generator)

    assert fit(draw, sets()[1]).pairing == CHOSEN["coupling"]
