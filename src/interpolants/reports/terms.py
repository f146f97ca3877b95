"""Terms of reports, explained where they occur."""

import re

# Pattern of words in a text -> term, meaning.
_TERMS = (
    (
        r"held.out|test rows",
        "Held-out rows",
        "Rows that the fit has not seen. Every measure is made on them.",
    ),
    (
        r"[Ff]loor|two sets of real data|exact density|true distribution",
        "Floor",
        "What the best possible method would get on as many rows: two sets of real data differ by chance too, "
        "and no forecast is better than the true distribution.",
    ),
    (
        r"\brivals?\b|gaussian fit|unchanged|climatology|persistence|token frequencies",
        "Rival",
        "Another method, asked the same on the same rows. A simple one shows what can be had without learning.",
    ),
    (
        r"\bgaussian fit\b",
        "Gaussian fit",
        "A normal distribution with the training rows' mean and covariance.",
    ),
    (r"\bunchanged\b", "Unchanged", "The start rows themselves, carried nowhere."),
    (r"\bclimatology\b", "Climatology", "Random rows of the training data, whatever the state now."),
    (r"\bpersistence\b", "Persistence", "The state now, taken for the forecast."),
    (r"\btwin\b", "Twin", "The same method on the same budget with some settings changed."),
    (
        r"[Ss]liced Wasserstein|[Ss]liced W2",
        "Sliced Wasserstein-2 distance",
        "Distance between two sets of rows: root mean squared optimal-transport distance over many directions.",
    ),
    (
        r"[Ee]nergy distance",
        "Energy distance",
        "Distance between two distributions, zero only if they are the same. Its estimate may come out below zero.",
    ),
    (
        r"standard units",
        "Standard units",
        "Each column over its standard deviation in the training rows; images over one for all pixels.",
    ),
    (
        r"Kolmogorov-Smirnov|\bKS\b",
        "Kolmogorov-Smirnov (KS) distance",
        "Largest gap between two cumulative distributions of one column: 0 where they agree, 1 where they are apart.",
    ),
    (r"\bCRPS\b", "CRPS", "Continuous ranked probability score: error of an ensemble less half its spread."),
    (r"\bnats\b", "Nats", "Unit of log densities with the natural logarithm."),
    (r"\bODE\b", "ODE", "An ordinary differential equation: from one start, one end."),
    (
        r"\bSDE\b",
        "SDE, eps",
        "A stochastic differential equation with noise level eps: from one start, many ends. All levels have the same "
        "distributions at all times if the fields are exact.",
    ),
    (
        r"[Oo]verfitted|by heart",
        "Overfitted",
        "Better on training rows than on held-out rows by more than chance: learnt by heart.",
    ),
    (
        r"\b[Cc]laims?\b",
        "Claim",
        "A statement in the recipe that is judged by machine: it holds or fails where both sides are more than two "
        "standard errors apart, else it is undecided.",
    ),
    (r"±", "±", "One standard error."),
)


def terms_in(text: str) -> list[tuple[str, str]]:
    """Terms that occur in a text, with their meaning."""
    return [(term, meaning) for pattern, term, meaning in _TERMS if re.search(pattern, text)]
