"""MUTANTS.md: how many faults the tests see, by package and by kind, and what is said of the others."""

from collections import Counter, defaultdict
from collections.abc import Callable

from mutants.mutant import Mutant
from mutants.trial import CAUGHT

HEAD = """# Mutants

Measured by `make mutants`, which puts one fault at a time into a formula (a sign, a factor 2, a power, `1 - t` for `t`,
a guard left out, a wrong end, one point too many), runs the tests that look at the module, and counts how many faults
they see. The mutants are drawn by a seed: 5 from each numerical module of the core, 1 or more from each of a room and
of the methods. *First*: the tests as they were when the mutants were drawn. *Now*: with the tests that survivors led
to. *Equivalent*: no input can tell the fault from the formula, or only by rounding, or draws have the same law; the
reason stands in `mutants/survivors.toml`. *Left*: neither, so far.

"""


def page(every: list[Mutant], kept: dict[str, dict], explained: dict[str, dict]) -> str:
    """The text of the page.

    Args:
        every: All mutants of the draw.
        kept: What came of those that were tried, by name.
        explained: What is said of survivors, by name: ``is`` is ``"equivalent"`` or ``"open"``.
    """
    tried = [one for one in every if one.name in kept]
    parts = [
        HEAD,
        _table("package", lambda one: one.module.split("/")[0], every, tried, kept, explained),
        "\n",
        _table("fault", lambda one: one.operator, every, tried, kept, explained),
    ]
    left = [one for one in tried if kept[one.name]["outcome"] != CAUGHT and not _equivalent(one, explained)]
    if left:
        parts += ["\n## Left\n\n", *(f"- `{one.name}` {one}\n" for one in left)]
    return "".join(parts)


def _equivalent(one: Mutant, explained: dict[str, dict]) -> bool:
    return explained.get(one.name, {}).get("is") == "equivalent"


def _table(
    head: str,
    group: Callable[[Mutant], str],
    every: list[Mutant],
    tried: list[Mutant],
    kept: dict[str, dict],
    explained: dict[str, dict],
) -> str:
    drawn = Counter(map(group, every))
    rows = defaultdict(list)
    for one in tried:
        rows[group(one)].append(one)
    lines = [
        f"| {head} | drawn | tried | caught first | caught now | equivalent | left |",
        "| --- " * 7 + "|",
    ]
    for name, members in [*rows.items(), ("all", tried)]:
        first = sum(kept[one.name].get("first", kept[one.name]["outcome"]) == CAUGHT for one in members)
        now = sum(kept[one.name]["outcome"] == CAUGHT for one in members)
        same = sum(_equivalent(one, explained) for one in members)
        left = len(members) - now - same
        of = drawn.total() if name == "all" else drawn[name]
        share = f"{first} ({first / max(len(members), 1):.0%})"
        lines.append(f"| {name} | {of} | {len(members)} | {share} | {now} | {same} | {left} |")
    return "\n".join(lines) + "\n"
