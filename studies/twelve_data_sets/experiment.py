"""What do all defaults give on rows that training has not seen, beside a Gaussian and other libraries?

Twelve data sets, split by the seed: ten are generated, judged by nats a row in data units, two are transported, judged
by the energy distance in standardised units beside not moving. The other libraries train the same network on
standardised rows for the processor time that our fit took, validation included; our solver integrates their densities.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.gaussian import Gaussian
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Figure
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.likelihood.log_prob import log_prob
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths import Linear, OneSidedLinear
from studies.common import Study
from studies.twelve_data_sets import rivals
from studies.twelve_data_sets.data import SETS, TRANSPORTS, Split, load

Settings = Mapping[str, Any]
PEERS = {"OT-CFM": rivals.ot_cfm, "flow_matching": rivals.flow_matching}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"sets": ["wine", "pbmc"], "peers": [], "steps": 20, "rows": 16, "n_steps": 4, "check": 50},
    "laptop": {
        "sets": list(SETS),
        "peers": list(PEERS),
        "steps": 2000,
        "rows": 200,
        "n_steps": 20,
        "check": 100,
    },
    "full": {
        "sets": list(SETS),
        "peers": list(PEERS),
        "steps": 20_000,
        "rows": 2000,
        "n_steps": 100,
        "check": 2000,
    },
}
METHODS = ("ours", "Gaussian", "copula", "OT-CFM", "flow_matching")
MOVES = ("ours", "ours, eps = 0.5", "not moving", "OT-CFM", "flow_matching")
_WIDE = 30  # columns above which the divergence is estimated
_SEEN = 100  # training rows that are scored


def cases(settings: Settings) -> Sequence[str]:
    """The data sets."""
    return tuple(settings["sets"])


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Fit, judge, and let the rivals train as long."""
    rows = load(case, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns of whole numbers, heavy tails: told to users
        values = (_transport if case in TRANSPORTS else _generation)(rows, seed, settings)
    return measured(values, {})


def _generation(rows: Split, seed: int, settings: Settings) -> dict[str, float]:
    few = rows.test[: settings["rows"]]
    how = _how(few, settings)
    begun = time.process_time()
    bridge = Bridge("one_sided_linear", seed=seed, steps=settings["steps"]).fit(x1=rows.train, progress=False)
    seconds = time.process_time() - begun
    values = {
        "ours": bridge.log_prob(few, **how).double(),
        "Gaussian": GaussianFit().fit(rows.train).log_prob(few),
        "copula": rivals.copula_log_prob(rows.train, few),
    }
    shift, scale = rows.train.mean(0), rows.train.std(0)
    for name in settings["peers"]:
        draw = PEERS[name](seed)
        net = rivals.trained(draw, None, ((rows.train - shift) / scale).float(), seconds, seed)
        fields = LearnedFields(OneSidedLinear(), velocity=net)
        found = log_prob(fields, ((few - shift) / scale).float(), Gaussian(), on_failure="keep", **how)
        values[name] = found.log_prob.double() - scale.log().sum()
    best = max(float(v.mean()) for name, v in values.items() if name != "ours")
    first = bridge.check(n=settings["check"], seed=seed).worst_first[0]
    return {
        **{name: float(v.mean()) for name, v in values.items()},
        **{f"error {name}": float((v - values["ours"]).std()) / len(v) ** 0.5 for name, v in values.items()},
        "best rival": best,
        "training rows": float(bridge.log_prob(rows.train[: min(len(few), _SEEN)], **how).double().mean()),
        "seconds": seconds,
        "check says Gaussian": float("a Gaussian fit is better" in first.message),
    }


def _transport(rows: Split, seed: int, settings: Settings) -> dict[str, float]:
    assert rows.start_train is not None
    assert rows.start_test is not None
    begun = time.process_time()
    bridge = Bridge(seed=seed, steps=settings["steps"]).fit(rows.start_train, rows.train, progress=False)
    seconds = time.process_time() - begun
    both = torch.cat([rows.start_train, rows.train])
    shift, scale = both.mean(0), both.std(0)
    moved = {
        "ours": bridge.transport(rows.start_test),
        "ours, eps = 0.5": bridge.transport(rows.start_test, eps=0.5, seed=seed),
        "not moving": rows.start_test,
    }
    x0, x1, begin = (((x - shift) / scale).float() for x in (rows.start_train, rows.train, rows.start_test))
    for name in settings["peers"]:
        draw = PEERS[name](seed)
        moved[name] = shift + scale * _carried(rivals.trained(draw, x0, x1, seconds, seed), begin).double()
    found = {name: energy_distance(x / scale, rows.test / scale) for name, x in moved.items()}
    return {
        **{name: one.value for name, one in found.items()},
        **{f"error {name}": one.error for name, one in found.items()},
        "best rival": min(one.value for name, one in found.items() if not name.startswith("ours")),
        "floor": energy_distance(rows.train[: len(rows.test)] / scale, rows.test / scale).value,
        "seconds": seconds,
    }


def _carried(net: nn.Module, start: Tensor) -> Tensor:
    return sample(LearnedFields(Linear(envelope=_none()), velocity=net), start, on_failure="keep").x


def _none() -> Any:
    from interpolants.paths.envelopes import ZeroEnvelope

    return ZeroEnvelope()


def _how(x: Tensor, settings: Settings) -> dict[str, Any]:
    few = x.shape[1] <= _WIDE
    divergence: dict[str, Any] = {"divergence": "exact"} if few else {"divergence": "hutchinson", "probes": 4}
    return {"method": "midpoint", "n_steps": settings["n_steps"], **divergence}


def table(results: Results) -> str:
    """Nats a row, and energy distances."""
    generated = [case for case in cases(results.settings) if case not in TRANSPORTS]
    moved = [case for case in cases(results.settings) if case in TRANSPORTS]
    known = [_known(names, results) for names in (METHODS, MOVES)]
    text = _table("nats a row", generated, [*known[0], "training rows"], results, 2)
    return text + "\n" + _table("energy distance", moved, [*known[1], "floor"], results, 3)


def _known(names: Sequence[str], results: Results) -> list[str]:
    return [name for name in names if name not in PEERS or name in results.settings["peers"]]


def _table(what: str, which: Sequence[str], names: Sequence[str], results: Results, digits: int) -> str:
    """A row for each data set, with the processor time of our fit."""
    rows = [
        [case, *(results.shown(case, m, digits) for m in names), results.shown(case, "seconds", 1)]
        for case in which
    ]
    return markdown((what, *names, "seconds"), rows)


def figures(results: Results) -> list[Figure]:
    """None: the table says it."""
    return []


CLAIMS = (
    Stated("wine.ours > gaussian - 0.5", ("wine", "ours"), ("wine", "Gaussian")),
    Stated("pbmc.ours < unmoved", ("pbmc", "ours"), ("pbmc", "not moving")),
)

STUDY = Study("twelve_data_sets", SETTINGS, cases, measure, table, figures, CLAIMS)
