"""Comparison of two tables: p values under sampling noise, differences that are there, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

import interpolants as itp
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.column_tests import (
    PooledColumn,
    _corrected,
    _labels,
    _of_column,
    _scores,
    _Statistic,
    column_tests,
)
from interpolants.runs.compare_tables import compare

pandas = pytest.importorskip("pandas")
RUN = CliRunner()
CITIES = ["Oslo", "Paris", "Rome"]


def table(seed, n=600):
    """Six columns of all kinds, two of which depend on each other; a tenth of the ages is missing."""
    rng = np.random.default_rng(seed)
    height = rng.normal(170, 8, n)
    days = pandas.to_timedelta(rng.integers(0, 365, n), unit="D")
    return pandas.DataFrame(
        {
            "height": height,
            "weight": 0.9 * (height - 100) + rng.normal(0, 6, n),
            "income": np.exp(rng.standard_t(2, n)),
            "city": rng.choice(CITIES, n, p=[0.5, 0.3, 0.2]),
            "day": pandas.Timestamp("2024-01-01") + days,
            "age": np.where(rng.random(n) < 0.1, np.nan, rng.integers(18, 80, n)),
        }
    )


def by_name(comparison):
    return {(one.name, one.about): one for one in (*comparison.columns, *comparison.joint)}


def single(x, y, permutations=199, seed=0):
    pooled = PooledColumn(torch.cat([x, y]).double())
    source = torch.Generator().manual_seed(seed)
    (found,) = column_tests([pooled], len(x), permutations=permutations, generator=source)
    return found


# --- sampling noise ------------------------------------------------------------------------------------------


def test_p_values_of_equal_distributions_are_uniform_over_seeds():
    draw = torch.Generator().manual_seed(0)
    found = [
        single(torch.randn(40, generator=draw), torch.randn(60, generator=draw), seed=s).p_value
        for s in range(200)
    ]
    ordered = torch.tensor(found).sort().values
    gap = (ordered - (torch.arange(200) + 0.5) / 200).abs().max()
    assert gap < 1.63 / math.sqrt(200)  # Kolmogorov's distribution at 1 %


def test_several_columns_are_found_different_no_more_often_than_the_level_says():
    level, seeds = 0.2, 80
    found = [
        compare(table(2 * s, 60), table(2 * s + 1, 80), level=level, permutations=99, seed=s)
        for s in range(seeds)
    ]
    share = sum(one.differ for one in found) / seeds
    assert share < level + 2.6 * math.sqrt(level * (1 - level) / seeds)


def test_the_floor_is_the_distance_of_equal_distributions():
    draw = torch.Generator().manual_seed(1)
    found = [
        single(torch.randn(100, generator=draw), torch.randn(100, generator=draw), seed=s) for s in range(40)
    ]
    distances = torch.tensor([one.distance for one in found])
    assert abs(found[0].floor - distances.mean()) < 4 * distances.std() / math.sqrt(40)


# --- what differs --------------------------------------------------------------------------------------------


def test_a_shifted_column_comes_first_and_alone():
    a, b = table(0), table(1)
    b["weight"] += 4
    found = compare(a, b)
    assert found.columns[0].name == "weight"
    assert {one.name for one in found.columns if one.p_value < 0.05} == {"weight"}
    assert found.verdict.startswith("The tables differ, most in column 'weight' (p = 0.002)")


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    draw = torch.Generator().manual_seed(2)
    x, y = torch.randn(70, generator=draw), torch.randn(50, generator=draw).round(decimals=1)
    both = torch.cat([x, y]).tolist()
    gaps = [abs(sum(v <= c for v in x.tolist()) / 70 - sum(v <= c for v in y.tolist()) / 50) for c in both]
    assert single(x, y).distance == pytest.approx(max(gaps), abs=1e-12)


def test_tails_of_one_variance_are_told_apart():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=4000), rng.standard_t(3, 4000) / math.sqrt(3)
    assert compare(a, b).differ
    assert not compare(a, rng.normal(size=4000)).differ


def test_columns_of_equal_distributions_that_depend_on_each_other_otherwise_are_found():
    a, b = table(0), table(1)
    b["weight"] = b["weight"].to_numpy()[np.random.default_rng(0).permutation(len(b))]
    found = compare(a, b)
    assert all(one.p_value > 0.05 for one in found.columns)
    assert found.joint[0].name == "'height' and 'weight'"
    assert (
        found.verdict
        == "The tables differ in how 'height' and 'weight' go together (p = 0.002), and in no single column."
    )


def test_missing_cells_and_words_are_compared_as_such():
    a, b = table(0), table(1)
    b.loc[b.index[:200], "age"] = np.nan
    b.loc[b.index[:150], "city"] = "Bern"
    found = by_name(compare(a, b))
    assert found["age", "missing"].p_value < 0.05 < found["age", "values"].p_value
    assert found["age", "missing"].distance == pytest.approx(b.age.isna().mean() - a.age.isna().mean())
    assert found["city", "values"].hint == "only in b: Bern"
    shares = [frame.city.value_counts(normalize=True) for frame in (a, b)]
    apart = 0.5 * shares[0].subtract(shares[1], fill_value=0).abs().sum()
    assert found["city", "values"].distance == pytest.approx(apart)


def test_another_unit_is_named():
    b = table(1)
    b["height"] /= 100
    assert by_name(compare(table(0), b))["height", "values"].hint == "b is about 0.01 times a: another unit?"


# --- containers and files ------------------------------------------------------------------------------------


def test_columns_are_matched_by_name_in_any_order():
    a, b = table(0), table(1)
    plain, moved = compare(a, b), compare(a.assign(only=1.0), b[b.columns[::-1]])
    assert [(one.name, one.p_value) for one in plain.columns] == [
        (one.name, one.p_value) for one in moved.columns
    ]
    assert (moved.only_a, moved.only_b) == (("only",), ())
    assert "another order" in moved.notes[0]


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.npy", "parquet"])
def test_files_give_what_their_tables_give(ending, tmp_path):
    a, b = table(0), table(1)
    b["income"] *= 2
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    if ending == "csv.npy":  # numbers without names beside a table with them
        a, b = a[["height", "income"]], b[["height", "income"]]
    first, second = tmp_path / f"a.{ending[:3] if 'npy' in ending else ending}", tmp_path / f"b.{ending}"
    for frame, file in ((a, first), (b, second)):
        if file.suffix == ".parquet":
            frame.to_parquet(file)
        elif file.suffix == ".npy":
            np.save(file, frame.to_numpy())
        else:
            frame.to_csv(file, sep="\t" if file.suffix == ".tsv" else ",", index=False)
    read, held = compare(first, second), compare(a, b)
    assert [(x.name, x.kind, x.p_value) for x in read.columns] == [
        (x.name, x.kind, x.p_value) for x in held.columns
    ]
    assert read.notes == (
        ("One table has no names of columns; they were matched by position.",) if "npy" in ending else ()
    )


def test_single_precision_at_an_offset_is_no_difference():
    """Rounded to 1/16, two thirds of the values would lie below or above their own double without a common type."""
    rng = np.random.default_rng(0)
    a, b = (1e6 + rng.normal(size=(500, 1)) for _ in range(2))
    assert not compare(a.astype(np.float32), b).differ
    assert compare(a.astype(np.float32), a).columns[0].distance == 0
    decimals = rng.integers(0, 20, (400, 1)) / 10
    assert compare(decimals.astype(np.float32), decimals).columns[0].distance == 0


def test_units_offsets_and_infinities_change_nothing():
    a, b = table(0)[["income", "height"]], table(1)[["income", "height"]]
    first, second = compare(a, b), compare(1e9 + 1e-3 * a, 1e9 + 1e-3 * b)
    assert [one.p_value for one in first.columns] == [one.p_value for one in second.columns]
    a.iloc[0, 0] = b.iloc[:2, 0] = math.inf
    assert not compare(a, b).differ


def test_arrays_of_images_are_compared_by_pixel():
    rng = np.random.default_rng(0)
    a, b = rng.random((200, 1, 4, 4)), rng.random((200, 1, 4, 4))
    b[:, 0, 2, 3] **= 2
    assert compare(a, b).columns[0].name == "0,2,3"
    assert compare(torch.tensor(a), a.tolist()).columns[0].distance == 0


def test_names_and_ids_are_left_out_with_the_reason():
    a, b = (
        table(0).assign(id=[f"a{i}" for i in range(600)]),
        table(1).assign(id=[f"b{i}" for i in range(600)]),
    )
    found = compare(a, b)
    assert found.skipped["id"].startswith("1,200 different words")
    assert found.verdict == "The same within sampling noise. One column was not compared."


def test_large_tables_are_thinned_and_it_is_said(monkeypatch):
    monkeypatch.setattr("interpolants.runs.compare_tables._MOST_WORK", 1e5)
    found = compare(table(0), table(1), permutations=99)
    assert found.n + found.m <= 1e5 / 600
    assert found.notes == (
        f"Compared were {found.n} of 600 and {found.m} of 600 rows, evenly spaced, to keep the time within minutes.",
    )


# --- refusals ------------------------------------------------------------------------------------------------


def refused(rule, *tables, **options):
    with pytest.raises(InvalidInputError, match=rule):
        compare(*tables, **options)


def test_tables_that_cannot_be_compared_are_refused():
    a = table(0)
    refused("a must have at least 8 rows, got 1", a[:1], a)
    refused("b must have at least 8 rows, got 7", a, a[:7])
    refused("must have a column of the same name", a, a.add_prefix("x_"))
    refused("must have the same number of columns, got 2 and 3", np.zeros((9, 2)), np.zeros((9, 3)))
    refused("column 'age' must have the same kind of values", a, a.assign(age="old"))
    odd = a.age.astype(object)
    odd[3] = "forty"
    refused("column 'age' of b must contain numbers only, or words, got 'forty'", a, a.assign(age=odd))
    refused("Write decimals with a point", a, a.assign(height=a.height.astype(str).str.replace(".", ",")))
    refused("level must lie in", a, a, level=1.0)
    refused("permutations must be at least 2000 for a p value below level 0.001", a, a, level=0.001)
    ids = [pandas.DataFrame({"id": list(letters)}) for letters in ("abcdefghi", "jklmnopqr")]
    refused("must have a column that can be compared", *ids)


# --- Python and the command line -----------------------------------------------------------------------------


def test_the_command_says_what_the_function_says(tmp_path):
    a, b = table(0), table(1).assign(extra=1.0)
    b["city"] = "Rome"
    for frame, name in ((a, "a.csv"), (b, "b.csv")):
        frame.to_csv(tmp_path / name, index=False)
    files = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    expected = itp.compare(*files)
    found = RUN.invoke(app, ["compare", *files, "--json"])
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert (answer["verdict"], answer["differ"]) == (expected.verdict, True)
    assert [one["name"] for one in answer["columns"]] == [one.name for one in expected.columns]
    shown = RUN.invoke(app, ["compare", *files])
    assert expected.verdict in shown.stdout
    assert "only in b.csv: extra" in shown.stderr
    assert RUN.invoke(app, ["compare", files[0], str(tmp_path / "c.csv")]).exit_code == 2


# --- parts of the statistics, by hand -----------------------------------------------------------------------


def test_the_statistic_of_words_is_chi_squared_of_the_table():
    counts = np.array([[12, 30, 8], [25, 20, 30]])
    words = torch.from_numpy(np.repeat([0, 1, 2, 0, 1, 2], counts.ravel()))
    labels = torch.zeros(1, len(words), dtype=torch.uint8)
    labels[0, : counts[0].sum()] = 1
    found = next(iter(_of_column(0, PooledColumn(words, categorical=True), labels)))
    wanted = stats.chi2_contingency(counts, correction=False).statistic
    assert float(found.statistic[0]) == pytest.approx(wanted, rel=1e-6)


def test_normal_scores_are_those_of_the_middle_of_the_ranks():
    scores = _scores(PooledColumn(torch.tensor([3.0, 1.0, torch.nan, 2.0, 2.0]).double()))
    wanted = stats.norm.ppf([3.5 / 4, 0.5 / 4, 0.5, 2 / 4, 2 / 4])
    assert torch.allclose(scores[0], torch.from_numpy(wanted))


def test_all_rows_of_labels_are_permuted_but_the_first():
    labels = _labels(100, 30, 50, torch.Generator().manual_seed(0))
    assert labels.shape == (51, 100)
    assert set(labels.sum(1).tolist()) == {30}
    assert labels[0, :30].all()
    assert len({tuple(row.tolist()) for row in labels}) == 51


def test_a_statistic_that_never_changes_decides_no_other():
    draws = torch.rand(200, generator=torch.Generator().manual_seed(0))
    draws[0] = draws.median()  # a score between zero and one
    one, constant = (
        _Statistic("values", (k,), value, value) for k, value in enumerate((draws, torch.ones(200)))
    )
    alone, beside = _corrected([one], 1)[0], _corrected([one, constant], 1)[0]
    assert alone.p_value > 0.4
    below = draws.clone()
    below[0] = draws.quantile(0.8)
    low = _Statistic("values", (0,), below, below)
    assert _corrected([low, constant], 1)[0].p_value == pytest.approx(_corrected([low], 1)[0].p_value)
    assert beside.p_value >= alone.p_value
