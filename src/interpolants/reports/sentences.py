"""Sentences from numbers, for reports."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]

MINUS, TIMES, DOT = "−", "×", "·"

# What is set in another way in a formula: the state, the ends, powers, small letters that stand alone, and minus.
_SYMBOLS = re.compile(r"[A-Za-z]{2,}-\w+|x_t|x([01])|\^\(([^)]*)\)|(?<![A-Za-z_])([a-df-z])(?![A-Za-z_])|-")


def formula(text: str) -> str:
    """A formula in plain text, ``x_t = (1 - t) x0 + e^(-B/2) x1``, as HTML of our own."""
    return _SYMBOLS.sub(_symbol, html.escape(text, quote=False))


def _symbol(found: re.Match[str]) -> str:
    end, power, letter = found.groups()
    if end:
        return f"<var>x</var><sub>{end}</sub>"
    if power:
        return f"<sup>{formula(html.unescape(power))}</sup>"
    if letter:
        return f"<var>{letter}</var>"
    return {"-": MINUS, "x_t": "<var>x<sub>t</sub></var>"}.get(found[0], found[0])  # or a word with a hyphen


# --- numbers ---------------------------------------------------------------------------------------------


def real(value: Any) -> float | None:
    """A finite number, or None for anything else that a results file may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def number(value: Any, digits: int = 3) -> str:
    """A number in ``digits`` significant digits; a dash where there is none."""
    x = real(value)
    if x is None:
        return "–"
    if x == 0:
        return "0"
    size = math.floor(math.log10(abs(x)))
    if size < -4 or size >= 7:
        mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
        return f"{mantissa} {TIMES} 10^{int(exponent)}".replace("-", MINUS)
    return f"{x:,.{max(0, digits - 1 - size)}f}".replace("-", MINUS)


def setting(value: Any) -> str:
    """A number as a person would set it: 0.5, 1, 1e-05; other values as they are."""
    x = real(value)
    return str(value) if x is None else f"{x:g}".replace("-", MINUS)


def limit(value: Any) -> str:
    """A limit as it was set; a dash where there is none."""
    return "–" if real(value) is None else setting(value)


def with_error(value: Any, error: Any) -> str:
    """``0.123 ± 0.004``: the error in two digits, the value to the same place."""
    x, e = real(value), real(error)
    if x is None or e is None or e <= 0:
        return number(value)
    size = max(abs(x), e)
    if size >= 1e7 or size < 1e-4 or e < 1e-6:
        return f"{number(x)} ± {number(e, 2)}"
    places = min(max(0, 1 - math.floor(math.log10(e))), 6)
    return f"{x:,.{places}f} ± {e:,.{places}f}".replace("-", MINUS)


def count(value: Any, one: str = "", many: str = "") -> str:
    """An integer with thousands apart and its noun: ``1,797 images``."""
    x = real(value)
    if x is None:
        return "–"
    noun = one if x == 1 else (many or (one and f"{one}s"))
    return f"{int(x):,}{' ' + noun if noun else ''}"


def duration(seconds: Any) -> str:
    """A time as people say it: ``0.4 s``, ``42 s``, ``3 min 12 s``, ``2 h 5 min``."""
    x = real(seconds)
    if x is None:
        return "an unknown time"
    if x < 10:
        return f"{x:.1f} s"
    whole = round(x)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def percent(share: float) -> str:
    """A share as a percentage that says 100 only when it is all, and 0 only when it is nothing."""
    value = 100 * share
    if 99.5 <= value < 100:
        return f"{math.floor(value * 10) / 10:.1f} %"
    if 0 < value < 0.5:
        return "under 0.5 %"
    return f"{value:.0f} %".replace("-", MINUS)


def times(ratio: float) -> str:
    """A ratio that is rounded up, so that "within 1.3x" is true."""
    digits = 1 if ratio < 10 else 0
    return f"{math.ceil(round(ratio * 10**digits, 6)) / 10**digits:.{digits}f}{TIMES}"


def listing(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def shape(value: Any) -> str:
    """``1 × 8 × 8``, or a word for points."""
    sizes = list(value) if isinstance(value, list | tuple) else []
    if not sizes:
        return "scalar"
    if len(sizes) == 1:
        return count(sizes[0], "coordinate")
    return f" {TIMES} ".join(str(size) for size in sizes)


def things(value: Any) -> str:
    """Noun for a datum of this shape."""
    return "images" if is_image(value) else "points"


def is_image(value: Any) -> bool:
    """Whether a shape is (C, H, W) with one or three channels."""
    return isinstance(value, list | tuple) and len(value) == 3 and value[0] in (1, 3)


# --- metrics ---------------------------------------------------------------------------------------------


def standing(metric: Facts) -> float | None:
    """Position of a metric between the trivial baseline (0) and two halves of real data (1)."""
    value, floor, baseline = (real(metric.get(key)) for key in ("value", "floor", "baseline"))
    if value is None or floor is None or baseline is None or floor == baseline:
        return None
    if (floor < baseline) != (metric.get("better", "lower") == "lower"):
        return None  # the baseline beats the floor: a place between them would mean nothing
    return (value - baseline) / (floor - baseline)


def at_floor(metric: Facts, sigmas: float = 2.0) -> bool:
    """Whether the value is as good as the floor within two standard errors of both."""
    value, floor = real(metric.get("value")), real(metric.get("floor"))
    if value is None or floor is None:
        return False
    errors = [real(metric.get(key)) or 0.0 for key in ("error", "floor_error")]
    slack = sigmas * math.hypot(*errors)
    return value <= floor + slack if metric.get("better", "lower") == "lower" else value >= floor - slack


def reading(metric: Facts) -> str:
    """One or two sentences on a metric: against the sampling floor, then against the baseline."""
    if real(metric.get("value")) is None:
        return "Not measured."
    parts = [p for p in (_against_floor(metric), _against_baseline(metric)) if p]
    alone = "" if metric.get("note") else "Neither a sampling floor nor a baseline was measured."
    return " ".join(parts) or alone


def _against_floor(metric: Facts) -> str:
    value, floor = real(metric.get("value")), real(metric.get("floor"))
    if value is None or floor is None:
        return ""
    lower = metric.get("better", "lower") == "lower"
    unit = _unit(metric)
    best = _best(metric)
    if at_floor(metric):
        better = value < floor if lower else value > floor
        return f"No worse than what {best}." if better else f"Within its error of what {best}."
    if _has_zero(metric) and floor > 0 and value > 0:
        if lower:
            return f"Within {times(value / floor)} of what {best}."
        return f"{percent(value / floor)} of what {best}."
    word = "above" if value > floor else "below"
    return f"{number(abs(value - floor), 2)}{unit} {word} what {best}."


def _best(metric: Facts) -> str:
    """Sentence on the floor of a metric."""
    if "nat" in str(metric.get("unit") or ""):
        return "the exact density gives"
    lower = metric.get("better", "lower") == "lower"
    return "two halves of real data give" if lower else "real data give"


def _against_baseline(metric: Facts) -> str:
    value, baseline = real(metric.get("value")), real(metric.get("baseline"))
    if value is None or baseline is None:
        return ""
    name = str(metric.get("baseline_name") or "the trivial baseline")
    lower = metric.get("better", "lower") == "lower"
    gain = baseline - value if lower else value - baseline
    error = real(metric.get("error")) or 0.0
    if gain <= 2 * error:
        return f"No better than {name}." if gain >= -2 * error else f"Worse than {name}."
    if not _has_zero(metric):
        return f"{number(gain, 2)}{_unit(metric)} better than {name}."
    if lower:
        return f"{number(baseline / value, 2)}{TIMES} smaller than {name}." if value > 0 else ""
    return f"The trivial baseline reaches {number(baseline, 2)} ({name})."


def _unit(metric: Facts) -> str:
    unit = str(metric.get("unit") or "")
    return f" {unit}" if unit else ""


def _has_zero(metric: Facts) -> bool:
    """Whether ratios mean something: not for log-densities, nor where a sign changes."""
    values = [real(metric.get(key)) for key in ("value", "floor", "baseline")]
    no_ratio = "nat" in str(metric.get("unit") or "") or "log" in str(metric.get("id") or "")
    return not no_ratio and all(v is None or v >= 0 for v in values)


# --- sentences -------------------------------------------------------------------------------------------


def verdict_words(verdict: Any) -> str:
    """The word that a reader sees for a verdict."""
    return {"pass": "pass", "warn": "warning", "fail": "fail"}.get(str(verdict), str(verdict))


def checks_sentence(checks: Sequence[Facts]) -> str:
    """``All 9 checks passed.`` or how many did not."""
    if not checks:
        return ""
    n = len(checks)
    got = {word: sum(check.get("verdict") == word for check in checks) for word in ("pass", "warn", "fail")}
    if got["pass"] == n:
        return f"All {n} checks passed." if n > 1 else "The one check passed."
    told = [f"{got['pass']} passed"]
    told += [f"{got['warn']} raised a warning"] if got["warn"] else []
    told += [f"{got['fail']} failed"] if got["fail"] else []
    rest = n - sum(got.values())
    told += [f"{rest} gave no verdict"] if rest else []
    return f"Of {count(n, 'check')}, {listing(told)}."


def task_name(task: Facts) -> str:
    """Name of a task."""
    return str(task.get("title") or task.get("name") or "Task")


def task_sentence(task: Facts) -> str:
    """Summary: what was learnt from which data, and the first metric that has a floor."""
    data = _mapping(task.get("data"))
    x0, x1 = _mapping(data.get("x0")), _mapping(data.get("x1"))
    target = str(x1.get("name") or "the data")
    name = task_name(task)
    train_n = real(x1.get("n"))
    size = f" ({count(train_n)} training {things(x1.get('shape'))})" if train_n else ""
    if task.get("kind") == "translation":
        what = f"turns {x0.get('name') or 'one set'} into {target}{size}, without pairs"
        what = what.removesuffix(", without pairs") if task.get("paired") else what
    else:
        origin = str(x0.get("name") or "noise")
        origin += " noise" if x0.get("source") == "drawn" else ""
        what = f"generates {target}{size} from {origin}"
    return f"“{name}” {what}.{_headline(task)}"


def _headline(task: Facts) -> str:
    metrics = [m for m in task.get("metrics") or [] if real(m.get("value")) is not None]
    best = next((m for m in metrics if real(m.get("floor")) is not None), metrics[0] if metrics else None)
    if best is None:
        return " No metric was measured."
    title = str(best.get("title") or best.get("id") or "the metric")
    told = (
        f" {title[:1].upper()}{title[1:]} is {with_error(best.get('value'), best.get('error'))}{_unit(best)}"
    )
    read = _against_floor(best) or _against_baseline(best)
    return f"{told}: {read[:1].lower()}{read[1:]}" if read else f"{told}."


def summary(results: Facts) -> str:
    """The abstract of the report, one paragraph."""
    tasks = list(results.get("tasks") or [])
    if not tasks:
        return "This run holds no finished task."
    machine = _mapping(results.get("machine"))
    where = f" on {machine['cpu']}" if isinstance(machine.get("cpu"), str) and machine["cpu"] else ""
    threads = f" with {count(machine['threads'], 'thread')}" if real(machine.get("threads")) else ""
    spent = f" in {duration(results.get('seconds'))}" if real(results.get("seconds")) is not None else ""
    what = "one bridge between two distributions" if len(tasks) == 1 else f"{len(tasks)} bridges"
    opening = f"This run learnt {what}{spent}{where}{threads}."
    checks = [check for task in tasks for check in task.get("checks") or []]
    parts = [opening, *(task_sentence(task) for task in tasks), checks_sentence(checks)]
    return " ".join(part for part in parts if part)


def eps_word(eps: Any, chosen: Any = False) -> str:
    """Words for a noise level."""
    value = real(eps)
    return ("ODE" if value == 0 else "SDE") + (", chosen; mean over time" if chosen is True and value else "")


def eps_choice_sentence(choice: Facts) -> str:
    """Basis and result of the choice of the noise level."""
    what = (
        "the held-out log-density under the SDE's model"
        if choice.get("criterion") == "likelihood"
        else "the energy distance of generated to held-out samples"
    )
    return (
        "An SDE corrects errors of the velocity by its noise and suffers from those of the score. Both errors were "
        "estimated from the residuals on data that training has not seen; the level of least bound follows, and was "
        f"compared with others by {what}. {choice.get('reason', '')}"
    )


def eps_sentence(rows: Sequence[Facts]) -> str:
    """Which noise level came out best, if the errors can tell."""
    told = [(real(r.get("sliced_w2")), real(r.get("sliced_w2_error")) or 0.0, r) for r in rows]
    known = [(value, error, row) for value, error, row in told if value is not None]
    if len(known) < 2:
        return ""
    value, error, row = min(known, key=lambda item: item[0])
    worst, worst_error, worst_row = max(known, key=lambda item: item[0])
    if worst - value <= 2 * math.hypot(error, worst_error):
        return "By sliced W2 the noise levels cannot be told apart: they differ by less than two standard errors."
    return (
        f"By sliced W2 the samples are closest to held-out data at ε = {setting(row.get('eps'))} "
        f"({number(value)}) and farthest at ε = {setting(worst_row.get('eps'))} ({number(worst)})."
    )


def likelihood_sentence(train: Sequence[float], heldout: Sequence[float], dimension: int) -> str:
    """Mean log-density of training and held-out data, and whether the gap is more than noise."""
    if not len(heldout):
        return ""
    mean, error = _mean(heldout)
    told = f"Held-out data have a mean log-density of {with_error(mean, error)} nats"
    told += f" ({number(mean / dimension)} per dimension)." if dimension > 1 else "."
    if not len(train):
        return told
    other, other_error = _mean(train)
    gap, noise = other - mean, math.hypot(error, other_error)
    if abs(gap) <= 2 * noise:
        return f"{told} Training data have {with_error(other, other_error)}: no sign of overfitting."
    if gap < 0:
        return f"{told} Training data have less, {with_error(other, other_error)}."
    more = f"{with_error(other, other_error)}, {number(gap, 2)} nats more"
    return f"{told} Training data have {more}: a sign of overfitting."


def _mean(values: Sequence[float]) -> tuple[float, float]:
    finite = [float(v) for v in values if math.isfinite(v)]
    if not finite:
        return math.nan, math.nan
    mean = math.fsum(finite) / len(finite)
    spread = math.fsum((v - mean) ** 2 for v in finite)
    return mean, math.sqrt(spread / max(1, len(finite) - 1) / len(finite))


def training_sentence(train: Facts, parameters: Any) -> str:
    """Duration, number of steps and size of a training."""
    steps, batch, seconds = (real(train.get(key)) for key in ("steps", "batch_size", "seconds"))
    told = "Training"
    told += f" took {count(steps, 'step')}" if steps is not None else " ran"
    told += f" of {count(batch, 'sample')} each" if batch is not None else ""
    told += f" and {duration(seconds)}" if seconds is not None else ""
    if steps and seconds:
        told += f" ({number(1000 * seconds / steps, 2)} ms a step)"
    size = real(parameters)
    return f"{told}." + (f" The networks have {count(size, 'parameter')}." if size else "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
