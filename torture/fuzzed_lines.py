"""Odd command lines: settings of recipes and options of commands, drawn from what the cards and commands have."""

import inspect

from hypothesis import strategies as st

from interpolants.foundations.registry import find_card, names
from interpolants.framework.settings import settings_of

ODD = ["0", "-1", "1", "2", "0.5", "-0.5", "1e308", "nan", "inf", "true", "''", "'x'", "'linear'", "[]", "[1,2]",
       "['a']", "[[1]]", "{}", "{a=1}", "{kind='linear'}", "{kind=1}", "{kind='nope'}", "{kind='zero', a=1}", "[{}]",
       "1979-05-27", "0x10", "'a.npy'", "'../a.npy'", "none", "=", "[", "{", "a.b", "'\\u0000'", "'1'"]  # fmt: skip
# Kinds of members that stand among the settings of a bridge, by the key of the setting.
MEMBERS = {"method.path": "path", "method.coupling": "coupling", "method.net": "net", "method.times": "time_sampler",
           "method.path.envelope": "envelope", "data.x1": "problem", "ask.0": "question"}  # fmt: skip
TOP = ["title", "seed", "seeds", "budget", "data", "data.x1", "data.x1.n", "data.x1.problem", "data.x1.file",
       "data.x1.key", "data.x1.labels", "data.x1.columns", "data.x1.limit", "data.x0", "data.nope", "split",
       "split.by", "split.fractions", "split.test", "split.role", "method", "method.kind", "ask", "ask.0",
       "ask.0.question", "ask.0.rivals", "ask.0.n", "ask.0.options", "claim", "claim.0.says", "tasks", "probe",
       "nope", "quick", "", ".", "method..path"]  # fmt: skip
# Settings that make a fuzzed run long where they are large.
SMALL = "method.steps=1"


def parameters(entry):
    return [name for name in inspect.signature(entry).parameters if not name.startswith("_")]


@st.composite
def overrides(draw):
    """One change of a setting, as ``--set`` takes it."""
    how = draw(st.sampled_from(["top", "method", "member", "member", "member"]))
    value = draw(st.sampled_from(ODD))
    if how == "top":
        return f"{draw(st.sampled_from(TOP))}={value}"
    if how == "method":
        fields = [field.name for field in settings_of(find_card("bridge", "method").load_entry())]
        return f"method.{draw(st.sampled_from(fields))}={value}"
    key = draw(st.sampled_from(sorted(MEMBERS)))
    kind = MEMBERS[key]
    if kind not in ("problem", "question") and draw(st.booleans()):
        return f"{key}.kind={draw(st.sampled_from([*names(kind), 'nope']))}"
    name = draw(st.sampled_from(names(kind)))
    known = parameters(find_card(name, kind).load_entry()) or ["x"]
    word = {"problem": "problem", "question": "question"}.get(kind, "kind")
    setting = draw(st.sampled_from(known))
    return f"{key}={{{word}='{name}', {setting}={value}}}"


WORDS = ["0", "1", "-1", "x", "", "nan", "1e9", "a.npy", "b.csv", "holes.csv", "words.csv", "empty.csv", "labels.npy",
         "short.npy", "runs/mine", "runs/labels", "runs", ".", "/", "nope", "ä", "--", "-", "{}", "[1]",
         "5", "linear", "auto", "0.5", "mixture_2d", "a=b", "out.npz", "out.txt", "out.xyz",
         "runs/mine/recipe.json"]  # fmt: skip
OPTIONS = ["--set", "--out", "--config", "--x0", "--x1", "--cond", "--steps", "--path", "--quick", "--resume",
           "--workers", "--json", "--quiet", "--task", "--run-seed", "-n", "--seed", "--eps", "--n-steps", "--method",
           "--batch-size", "--nproc", "--force", "--key", "--help", "--rtol", "--x", "--nope"]  # fmt: skip
COMMANDS = ["run", "train", "report", "methods", "recipes", "problems", "sample", "transport", "log-prob", "check",
            "forecast", "complete", "encode", "nope"]  # fmt: skip


@st.composite
def lines(draw):
    """A command line that trains nothing long."""
    command = draw(st.sampled_from(COMMANDS))
    words = [command]
    if draw(st.booleans()) and command not in ("run", "train"):
        words.append(draw(st.sampled_from(["runs/mine", "runs/labels"])))
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            words.append(draw(st.sampled_from(OPTIONS)))
        words.append(draw(st.sampled_from(WORDS)))
    if command in ("run", "train"):
        words += ["--steps", "1", "--set", "method.net={kind='mlp',width=4,depth=1}"]
    return words
