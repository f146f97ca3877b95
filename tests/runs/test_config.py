"""Settings: what is read, what is refused, and in which words."""

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.config import load_config, make_config
from interpolants.runs.overrides import parse

FLAT = {"title": "t", "data": {"x0": "a.npy", "x1": "b.csv"}, "train": {"steps": 7}}
TOML = """
title = "t"
seed = 3
[[tasks]]
name = "one"
[tasks.data]
x1 = { dataset = "digits", classes = [3, 8], options = { dequantise = true } }
condition = "labels"
[tasks.train]
betas = [0.8, 0.99]
[[tasks]]
name = "two"
[tasks.data.x0]
problem = "moons"
n = 500
noise = 0.2
[tasks.data.x1]
problem = "rings"
[tasks.bridge.path]
kind = "linear"
envelope = { kind = "brownian", scale = 2.0 }
"""


def refusal(data, *overrides):
    with pytest.raises(InvalidInputError) as caught:
        make_config(data, overrides, place="my.toml")
    return str(caught.value)


def test_a_flat_config_is_a_task_and_unsaid_settings_are_written_down():
    config = make_config(FLAT)
    (task,) = config.tasks
    assert (task.name, task.train.steps, task.bridge.path) == ("main", 7, "linear")
    assert make_config({"data": {"x1": "b.csv"}}).tasks[0].bridge.path == "one_sided_linear"
    assert make_config({"seed": 5, "data": {"x1": "b.csv"}}).tasks[0].train.seed == 5
    assert make_config({"seed": 5, "train": {"seed": 2}, "data": {"x1": "b"}}).tasks[0].train.seed == 2


def test_toml_yaml_and_json_say_the_same_and_the_resolved_form_reads_back(tmp_path):
    import tomllib

    tables = tomllib.loads(TOML)
    texts = {"c.toml": TOML, "c.yaml": yaml.safe_dump(tables), "c.json": json.dumps(tables)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    configs = [load_config(tmp_path / name) for name in texts]
    assert configs[0] == configs[1] == configs[2]
    assert configs[0].tasks[1].data.x0.settings == {"noise": 0.2}
    assert configs[0].tasks[0].train.betas == (0.8, 0.99)
    assert make_config(json.loads(json.dumps(configs[0].dump()))) == configs[0]


@pytest.mark.parametrize(
    ("data", "overrides", "message"),
    [
        ({"train": {"setps": 3}}, (), "my.toml: unknown key 'train.setps'. Did you mean 'train.steps'?"),
        ({"optmizer": "adam"}, (), "my.toml: unknown key 'optmizer'. Did you mean 'train.optimizer'?"),
        ({}, ("train.lr=fast",), "my.toml: 'train.lr' must be a finite number > 0, got \"fast\""),
        ({}, ("train.steps=0",), "my.toml: 'train.steps' must be an integer >= 1, got 0"),
        ({}, ("train.steps=true",), "my.toml: 'train.steps' must be an integer >= 1, got true"),
        (
            {},
            ("train.optimizer=sgdd",),
            "my.toml: 'train.optimizer' must be one of \"adam\", \"adamw\", \"sgd\", \"rmsprop\", got \"sgdd\"",
        ),
        (
            {"evaluate": {"eps": [0.5, -1]}},
            (),
            "my.toml: 'evaluate.eps.1' must be a finite number >= 0 and <= 1000000.0, got -1",
        ),
        (
            {"data": {"x1": {"dataset": "digits", "clases": [3]}}},
            (),
            "my.toml: unknown key 'data.x1.clases'. Did you mean 'data.x1.classes'?",
        ),
        ({"data": {}}, (), "my.toml: 'data.x1' is required and missing"),
        (
            {"data": {"x1": 3}},
            (),
            "my.toml: 'data.x1' must be a path, or a table with file, dataset or problem, got 3",
        ),
        (
            {"data": {"x1": "gaussian"}},
            (),
            "my.toml: 'data.x1' must name samples: only x0 may be Gaussian, got \"gaussian\"",
        ),
        (
            {"data": {"x1": {"problem": "monos"}}},
            (),
            "my.toml: 'data.x1.problem': must be the id of a problem, got 'monos'. Did you mean 'moons'?",
        ),
        (
            {"name": "../up"},
            (),
            "my.toml: 'name' must be made of letters, digits, - and _, at most 60: it names a folder, got \"../up\"",
        ),
        (
            {"bridge": {"path": "liner"}},
            (),
            "my.toml: 'bridge.path': path: there must be a path of this name, got 'liner'. Did you mean 'linear'?",
        ),
        (
            {"bridge": {"path": {"kind": "linear", "envelop": 1}}},
            (),
            "my.toml: 'bridge.path': path 'linear': every setting must be one it has, got 'envelop'. "
            "Did you mean 'envelope'?",
        ),
        (
            {"bridge": {"path": "one_sided_linear"}},
            (),
            "my.toml: 'bridge.path': a one-sided path draws x0 from its own Gaussian, so data.x0 must be left out, "
            "got \"one_sided_linear\". Take a two-sided path such as 'linear'.",
        ),
        (
            {"bridge": {"path": {"kind": "shortest_path", "fit": {"bases": "fft"}}}},
            (),
            "my.toml: 'bridge.path': path 'shortest_path': every setting of fit must be one it has, got 'bases'. "
            "Did you mean 'basis'?",
        ),
        (
            {"bridge": {"heads": ["noise"], "penalties": [{"kind": "fokker_planck_residual"}]}},
            (),
            "my.toml: 'bridge.penalties': Bridge: FokkerPlanckResidual goes with a network of log_density alone, "
            "got ('noise',). Learn ('log_density',). For a score without a potential take "
            "ScoreFokkerPlanckResidual.",
        ),
        ({}, ("steps",), "--set: must read key.path=value, got 'steps'. E.g. --set train.steps=100."),
        (
            {},
            ("tasks.5.train.steps=1",),
            "--set: a list is indexed by number or name, got '5' in 'tasks.5.train.steps=1'. Known: 0, main.",
        ),
        ({"tasks": []}, (), "my.toml: a key of a task must not stand beside 'tasks', got 'data'. "
         "Move it into a task, or drop tasks."),
    ],
)  # fmt: skip
def test_messages(data, overrides, message):
    assert refusal({**FLAT, **data}, *overrides) == message


def test_a_task_of_several_is_named_by_its_place():
    tasks = [{"name": "a", "data": {"x1": "b.npy"}}, {"name": "b", "data": {"x1": "b.npy"}, "trian": {}}]
    assert refusal({"tasks": tasks}) == "my.toml: unknown key 'tasks.1.trian'. Did you mean 'tasks.1.train'?"
    tasks[1] = {"name": "A", "data": {"x1": "b.npy"}}
    assert "'tasks' must have different names" in refusal({"tasks": tasks})


def test_overrides_reach_one_task_or_all_and_make_tables_on_the_way(tmp_path):
    (tmp_path / "c.toml").write_text(TOML)
    config = load_config(
        tmp_path / "c.toml",
        [
            "train.steps=11",
            "tasks.two.train.steps=12",
            "tasks.0.train.ema=none",
            "tasks.1.bridge.coupling.kind=paired",
        ],
    )
    assert [task.train.steps for task in config.tasks] == [11, 12]
    assert config.tasks[0].train.ema is None
    assert config.tasks[1].bridge.coupling == {"kind": "paired"}
    changed = make_config(FLAT, ["bridge.path.envelope=quadratic"] * 0 + ["bridge.path.kind=trigonometric"])
    assert changed.tasks[0].bridge.path == {"kind": "trigonometric"}


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
        ("a.json", "3", "settings must be a table of keys"),
        ("a.py", "", "must end in .toml, .yaml, .yml or .json"),
        ("a.toml", "#" * (1 << 21), "at most 1 MiB"),
    ],
)
def test_files_that_are_no_settings(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        load_config(tmp_path / name)


@pytest.mark.parametrize("name", ["method", "sde_method", "log_prob_method"])
def test_solvers_of_the_evaluation_are_known_before_the_training(name):
    make_config({"data": {"x1": "a.npy"}, "evaluate": {name: "heun"}})
    with pytest.raises(
        InvalidInputError, match=f"'evaluate.{name}': sample: method must be a known solver, got 'huen'"
    ):
        make_config({"data": {"x1": "a.npy"}, "evaluate": {name: "huen"}})


def test_a_solver_without_a_quadrature_is_none_for_likelihoods():
    make_config({"data": {"x1": "a.npy"}, "evaluate": {"method": "ancestral"}})
    with pytest.raises(
        InvalidInputError, match=r"'evaluate.log_prob_method': .* with a quadrature, got 'ancestral'"
    ):
        make_config({"data": {"x1": "a.npy"}, "evaluate": {"log_prob_method": "ancestral"}})


def test_a_task_that_is_no_table_cannot_be_changed():
    with pytest.raises(InvalidInputError, match="--set: every task must be a table, got 5"):
        make_config({"tasks": [5]}, options={"train.steps": 3})


def test_rows_of_pairs_are_not_left_out_on_one_side():
    sides = {"x0": {"file": "a.csv", "drop_nan": True}, "x1": "b.csv"}
    make_config({"data": sides})
    with pytest.raises(InvalidInputError, match=r"'data\.x0\.drop_nan': rows of pairs cannot be left out"):
        make_config({"data": sides, "bridge": {"coupling": "paired"}})


def test_a_missing_file_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "moons.toml").write_text("")
    with pytest.raises(
        InvalidInputError, match=r"must exist, got .*mons\.toml\. Did you mean '.*moons\.toml'"
    ):
        load_config(tmp_path / "mons.toml")


KEYS = st.sampled_from(
    ["title", "seed", "tasks", "name", "data", "bridge", "train", "evaluate", "x0", "x1", "file", "problem", "dataset",
     "classes", "path", "kind", "coupling", "net", "steps", "lr", "betas", "eps", "n", "condition", "setps"]
) | st.text(max_size=5)  # fmt: skip
WORDS = st.sampled_from(["gaussian", "linear", "digits", "moons", "a.npy", "labels", "auto", "mlp", "paired"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
NEAR = st.fixed_dictionaries(
    {"data": st.fixed_dictionaries({"x1": st.just("a.npy") | TREES})},
    optional={
        "train": TREES,
        "bridge": TREES,
        "evaluate": TREES,
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
        config = make_config(data, overrides)
    except InvalidInputError:
        return  # refused in words; anything else fails the test
    assert make_config(config.dump()) == config
