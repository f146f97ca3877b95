"""Settings of recipes: what is read, what is refused, and in which words."""

import json
import tomllib

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.overrides import literal, merged, parse
from interpolants.runs.own_files import own_tables
from interpolants.runs.recipe import make_recipe
from interpolants.runs.recipe_files import changed_recipe, read_recipe, tables_of
from interpolants.runs.settings_files import read_settings

FLAT = {
    "title": "t",
    "data": {"x0": "a.npy", "x1": "b.csv"},
    "method": {"kind": "bridge", "steps": 7},
    "ask": [{"question": "sample_quality"}],
}
TOML = """
title = "Two"
[[tasks]]
name = "one"
[tasks.data]
x1 = "b.npy"
[tasks.method]
kind = "bridge"
path = "one_sided_linear"
betas = [0.8, 0.99]
[[tasks]]
name = "two"
[tasks.data]
x0 = { problem = "moons", noise = 0.2 }
x1 = { dataset = "digits", classes = [3, 8] }
[tasks.method]
kind = "bridge"
path = { kind = "linear", envelope = "brownian" }
"""


def refusal(data, *overrides):
    with pytest.raises(InvalidInputError) as caught:
        changed_recipe(data, overrides, place="my.toml")
    return str(caught.value)


def test_toml_yaml_and_json_say_the_same_and_the_resolved_form_reads_back(tmp_path):
    tables = tomllib.loads(TOML)
    texts = {"c.toml": TOML, "c.yaml": yaml.safe_dump(tables), "c.json": json.dumps(tables)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    recipes = [read_recipe(tmp_path / name) for name in texts]
    assert recipes[0] == recipes[1] == recipes[2]
    assert make_recipe(json.loads(json.dumps(tables_of(recipes[0])))) == recipes[0]


@pytest.mark.parametrize(
    ("data", "overrides", "message"),
    [
        ({"method": {"kind": "bridge", "setps": 3}}, (),
         "method 'bridge': every setting must be one it has, got 'setps'. Did you mean 'steps'?"),
        ({"method": {"kind": "brigde"}}, (),
         "my.toml: 'method.kind': name must be the id of a registered method, got 'brigde'. Did you mean 'bridge'?"),
        ({"method": {"steps": 3}}, (), "my.toml: task 1: method must have a kind, the id of a method, got None"),
        ({"aks": []}, (), "my.toml: every key must be valid, got 'aks'. Did you mean"),
        ({"seed": -1}, (), "my.toml: seed must be a whole number >= 0, got -1"),
        ({"seeds": 0}, (), "my.toml: seeds must be a whole number in [1, 10000], got 0"),
        ({"seeds": "many"}, (), "my.toml: seeds must be a whole number in [1, 10000], got many"),
        ({"budget": "huge"}, (), "my.toml: budget must be one of ci, study, quick, got 'huge'"),
        ({}, ("method.lr=fast",), "Bridge: lr must lie in (0, 1e+06], got fast"),
        ({}, ("method.steps=0",), "Bridge: steps must be a whole number >= 1, got 0"),
        ({"ask": [{"question": "sample_qality"}]}, (),
         "question: name must be the id of a registered question, got 'sample_qality'. Did you mean 'sample_quality'?"),
        ({"ask": [{"question": "noise_levels", "options": {"n_stepps": 3}}]}, (),
         "ask: NoiseLevels cannot be put to Bridge: sample and transport take no option 'n_stepps'. "
         "Did you mean 'n_steps'?"),
        ({"ask": [{"question": "forecast_quality"}]}, (), "ask: Bridge must be able to forecast. It can"),
        ({"claim": [{"say": "x"}]}, (), "[[claim]]: every key must be valid, got 'say'. Did you mean 'says'?"),
        ({"split": {"tset": 0.1}}, (), "split: every key must be valid, got 'tset'. Did you mean 'test'?"),
        ({"name": "../up"}, (), "my.toml: name of a task must be of letters, digits, - and _, got '../up'"),
        ({"method": {"kind": "bridge", "path": "liner"}}, (),
         "Bridge: path must be one of diffusive, "),
        ({"bridge": {"path": "linear"}}, (),
         "my.toml: settings of a run stand in [method], [data] and [[ask]]; those of [bridge] are settings of "
         '[method], with kind = "bridge", got [bridge]'),
        ({"train": {"steps": 3}}, (), "my.toml: settings of a run stand in [method], [data] and [[ask]]; those of "
         "[train] are settings of [method] too: steps, batch_size, lr, ..., got [train]"),
        ({}, ("steps",), "--set: must read key.path=value, got 'steps'. For example, use --set method.steps=100."),
        ({}, ("tasks.5.method.steps=1",),
         "--set: a list is indexed by number or name, got '5' in 'tasks.5.method.steps=1'. Known: 0, main."),
        ({"tasks": []}, (), "my.toml: a table of a task must not stand beside 'tasks', got 'data'. "
         "Move it into a task."),
    ],
)  # fmt: skip
def test_messages(data, overrides, message):
    assert refusal({**FLAT, **data}, *overrides).startswith(message)


def test_overrides_reach_one_task_or_all_and_make_tables_on_the_way(tmp_path):
    (tmp_path / "c.toml").write_text(TOML)
    changes = ["method.steps=11", "tasks.two.method.steps=12", "tasks.1.method.coupling.kind=paired"]
    recipe = read_recipe(tmp_path / "c.toml", [*changes, "method.path.kind=trigonometric"])
    assert [task.method["steps"] for task in recipe.tasks] == [11, 12]
    assert recipe.tasks[1].method["coupling"] == {"kind": "paired"}
    assert recipe.tasks[0].method["path"] == {"kind": "trigonometric"}


def test_tables_of_another_kind_take_the_place_of_a_member():
    base = {"net": {"kind": "unet", "channels": 16}, "leg": {"steps": 3, "lr": 1.0}}
    over = {"net": {"kind": "mlp"}, "leg": {"steps": 4}}
    assert merged(base, over) == {"net": {"kind": "mlp"}, "leg": {"steps": 4, "lr": 1.0}}
    assert merged(base, {"net": {"channels": 8}})["net"] == {"kind": "unet", "channels": 8}


def test_files_alone_make_a_recipe_with_the_questions_of_its_template():
    both = own_tables({"x0": "a.npy", "x1": "b.csv", "cond": None})
    assert both["data"] == {"x0": "a.npy", "x1": "b.csv"}
    assert make_recipe(both).tasks[0].method["path"] == "auto"
    one = own_tables({"x0": None, "x1": "b.csv", "cond": "labels"})
    assert one["data"] == {"x1": "b.csv", "cond": {"labels_of": "x1"}}
    task = make_recipe(one).tasks[0]
    assert task.method["path"] == "one_sided_linear"
    assert "leg" not in task.method
    assert not any("unchanged" in ask.get("rivals", ()) for ask in task.ask)
    later = own_tables({"x0": None, "x1": "b.csv", "cond": None}, overrides=["data.x0={problem='moons'}"])
    assert later["method"]["path"] == "auto"


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "1.e-3", ".1e-2", "0.001"])
def test_yaml_reads_powers_of_ten_as_numbers(tmp_path, text):
    (tmp_path / "a.yaml").write_text(f"lr: {text}\nname: 1e-3x\n")
    assert read_settings(tmp_path / "a.yaml") == {"lr": 0.001, "name": "1e-3x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("a=1", 1), ("a=1.5", 1.5), ("a=true", True), ("a=[1, 2]", [1, 2]), ("a={b = 1}", {"b": 1}),
     ("a=" + "9" * 5000, "9" * 5000),
     ("a=word", "word"), ("a='5'", "5"), ("a=null", None), ("a=x=y", "x=y"), ("a=1\nb=2", "1\nb=2")],
)  # fmt: skip
def test_values_are_toml_or_words(text, value):
    assert parse(text) == (["a"], value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "x = [", "must be valid TOML"),
        ("a.yaml", "x: [", "must be valid YAML"),
        ("a.json", "{", "must be valid JSON"),
        ("a.json", "[" * 5000, "must be valid JSON"),
        ("a.yaml", "a: &a [*a]", "small and not refer to themselves"),
        ("a.yaml", "a: 2026-01-01", "'a' must be a finite number, a word, true or false, a list or a table"),
        ("a.yaml", "a: !!timestamp x", "must be valid YAML"),
        ("a.yaml", "a: !!bool x", "must be valid YAML"),
        ("a.yaml", "a: .nan", "'a' must be a finite number"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "must be valid YAML"),
        ("a.json", "3", "a recipe must be a table of keys"),
        ("a.py", "", "must end in .toml, .yaml, .yml or .json"),
        ("a.toml", "#" * (1 << 21), "at most 1 MiB"),
    ],
)
def test_files_that_are_no_settings(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_recipe(tmp_path / name)


def test_a_task_that_is_no_table_cannot_be_changed():
    assert refusal({"tasks": [5]}, "method.steps=3") == "--set: every task must be a table, got 5"


def test_a_missing_file_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "moons.toml").write_text("")
    with pytest.raises(
        InvalidInputError, match=r"must exist, got .*mons\.toml\. Did you mean '.*moons\.toml'"
    ):
        read_recipe(tmp_path / "mons.toml")


KEYS = st.sampled_from(
    ["title", "seed", "seeds", "tasks", "name", "data", "method", "ask", "claim", "split", "probe", "quick", "x0", "x1",
     "file", "problem", "dataset", "question", "rivals", "says", "options", "twin", "path", "kind", "coupling", "net",
     "steps", "lr", "betas", "eps", "n", "cond", "setps"]
) | st.text(max_size=5)  # fmt: skip
WORDS = st.sampled_from(
    [
        "bridge",
        "gaussian_fit",
        "linear",
        "digits",
        "moons",
        "a.npy",
        "auto",
        "mlp",
        "paired",
        "sample_quality",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
METHOD = st.builds(lambda more: {**more, "kind": "bridge"}, st.dictionaries(KEYS, TREES, max_size=3))
ASK = st.lists(
    st.builds(lambda more: {**more, "question": "sample_quality"}, st.dictionaries(KEYS, TREES, max_size=2)),
    max_size=2,
)
NEAR = st.fixed_dictionaries(
    {"data": st.fixed_dictionaries({"x1": st.just("a.npy") | TREES}), "method": METHOD | TREES},
    optional={
        "ask": ASK | TREES,
        "claim": TREES,
        "split": TREES,
        "seed": LEAVES,
        "title": LEAVES,
        "name": LEAVES,
    },
)
SETS = st.lists(
    st.builds(
        lambda path, value: f"{'.'.join(path)}={value}", st.lists(KEYS, min_size=1, max_size=4), LEAVES
    ),
    max_size=2,
)


@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=NEAR | st.dictionaries(KEYS, TREES, max_size=4), overrides=SETS)
def test_fuzzed_settings_are_read_or_refused_in_words(data, overrides):
    try:
        recipe = changed_recipe(data, overrides)
    except InvalidInputError:
        return  # refused in words; anything else fails the test
    assert make_recipe(tables_of(recipe)) == recipe


def test_truth_values_are_read_as_toml_and_python_write_them():
    found = [literal(word) for word in ("true", "True", "false", "False", '"True"')]
    assert found == [True, True, False, False, "True"]
