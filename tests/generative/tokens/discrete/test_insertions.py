"""The path of insertions against laws of words whose states, alignments and patterns can all be enumerated."""

import math
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.discrete.insertions import (
    Insert,
    InsertLoss,
    NetInsertions,
    draw_pattern,
    grow,
    insert_nelbo,
    show,
    terms,
)
from interpolants.generative.tokens.discrete.schedules import CosineKeep
from interpolants.nets.transformer import TokenTransformer

PATH = Insert(2)
WORDS = {"": 0.1, "a": 0.15, "b": 0.05, "aa": 0.2, "ab": 0.25, "bab": 0.15, "abba": 0.1}
LONGEST = 4


def codes(*words, length=LONGEST):
    """Words of a and b as sequences, filled up with -1."""
    rows = [["ab".index(letter) for letter in word] for word in words]
    return torch.tensor([row + [-1] * (length - len(row)) for row in rows])


def texts(x):
    return ["".join("ab"[token] for token in row if token >= 0) for row in x.tolist()]


def thinned(word):
    """Every choice of shown positions: what is shown, and the hidden letters of each of its gaps."""
    for size in range(len(word) + 1):
        for shown in combinations(range(len(word)), size):
            gaps = [[] for _ in range(size + 1)]
            for at, letter in enumerate(word):
                if at not in shown:
                    gaps[sum(k < at for k in shown)].append(letter)
            yield "".join(word[k] for k in shown), gaps


class Exact:
    """log M by Bayes' rule over all words and alignments, given which gaps are closed (or blind to that)."""

    def __init__(self, words, *, blind=False, change=None):
        self.blind, self.change = blind, change
        self.cases = defaultdict(list)
        for word, chance in words.items():
            for shown, gaps in thinned(word):
                self.cases[shown].append((chance, gaps))

    def numbers(self, word, closed, share):
        """M, ``(len(word) + 1, 2)``, and the sum of the weights."""
        total, found = 0.0, np.zeros((len(word) + 1, 2))
        for chance, gaps in self.cases.get(word, ()):
            if any(gaps[gap] for gap in closed):
                continue
            weight = chance * share ** sum(map(len, gaps))
            total += weight
            found += weight * np.array([[gap.count("a"), gap.count("b")] for gap in gaps])
        return (found / total if total else found), total

    def __call__(self, states, hidden, cond=None):
        asked = torch.cat([states.double(), hidden.expand(len(states))[:, None]], 1)
        cases, which = torch.unique(asked, dim=0, return_inverse=True)
        found = torch.zeros(len(cases), states.shape[1], 2, dtype=torch.float64)
        for row, (*state, share) in enumerate(cases.tolist()):
            letters = [int(code) for code in state if code != PATH.end]
            word = "".join("ab?"[code % 3] for code in letters[1:])  # any codes are tried beforehand
            closed = [] if self.blind else [gap for gap, code in enumerate(letters) if code > 2]
            m = torch.tensor(self.numbers(word, closed, share)[0])
            found[row, : len(m)] = m[: states.shape[1]]
        out = found[which]
        out = out.masked_fill(~PATH.is_open(states)[..., None], 0)
        return out.log() if self.change is None else out.log() + self.change(states, hidden)


EXACT = Exact(WORDS)


def shares(words):
    count = Counter(words)
    return {word: number / len(words) for word, number in count.items()}


def variation(p, q):
    return 0.5 * sum(abs(p.get(word, 0) - q.get(word, 0)) for word in {*p, *q})


def test_the_rates_carry_the_law_of_the_states_forward():
    """d p / d kappa = inflow - outflow with u = M / (1 - kappa); and u = p(with a at g) / (kappa p) per operation."""

    def marginal(kappa):
        p = defaultdict(float)
        for word, chance in WORDS.items():
            for shown, _ in thinned(word):
                p[shown] += chance * kappa ** len(shown) * (1 - kappa) ** (len(word) - len(shown))
        return p

    kappa, step = 0.37, 1e-6
    p, later, before = (marginal(k) for k in (kappa, kappa + step, kappa - step))
    change = defaultdict(float)
    for word, mass in p.items():
        m, _ = EXACT.numbers(word, [], 1 - kappa)
        for gap, letter in np.ndindex(m.shape):
            rate = m[gap, letter] / (1 - kappa)
            longer = word[:gap] + "ab"[letter] + word[gap:]
            if rate:
                assert rate == pytest.approx(p[longer] / (kappa * mass), rel=1e-12)
            change[word] -= rate * mass
            change[longer] += rate * mass
    for word in p:
        assert (later[word] - before[word]) / (2 * step) == pytest.approx(change[word], abs=1e-8)


def bound_by_quadrature(expected, word):
    """The integral over the hidden share of the mean over all choices of hidden tokens."""
    points, weights = np.polynomial.legendre.leggauss(40)
    total = 0.0
    for point, weight in zip(points, weights, strict=True):
        root = 0.5 * (point + 1)  # log M has a logarithm of the share in it: smoother in its root
        share = root**2
        for shown, gaps in thinned(word):
            h = sum(map(len, gaps))
            m = expected(PATH.states(codes(shown)), torch.tensor(share, dtype=torch.float64))[0]
            hidden = sum(1 + float(m[gap, "ab".index(a)]) for gap, part in enumerate(gaps) for a in part)
            chance = share**h * (1 - share) ** len(shown)
            total += 2 * root * 0.5 * weight * chance / share * (float(m.exp().sum()) - hidden)
    return total


def off(states, hidden):
    """A wrong factor of M for each state, gap and token."""
    place = torch.arange(states.shape[1])[:, None] + torch.arange(2)
    return 0.6 * torch.sin(1.0 + states.sum(1)[:, None, None] + 2.0 * place)


def test_the_bound_is_minus_log_p_for_the_exact_numbers_and_above_it_for_others():
    wrong = Exact(WORDS, change=off)
    x1 = codes(*WORDS)
    draws = 400
    rows = x1.repeat_interleave(draws, 0)
    u = torch.rand(len(rows), LONGEST + 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shown = show(PATH, rows, u)
    for expected in (EXACT, wrong):
        found = terms(expected, rows, shown).reshape(len(x1), draws)
        error = found.std(1) / math.sqrt(draws)
        for k, (word, chance) in enumerate(WORDS.items()):
            bound = bound_by_quadrature(expected, word)
            assert float(found[k].mean()) == pytest.approx(bound, abs=4 * float(error[k]) + 1e-9)
            if expected is EXACT:
                assert bound == pytest.approx(-math.log(chance), abs=1e-4)
    mean = sum(chance * bound_by_quadrature(wrong, word) for word, chance in WORDS.items())
    assert mean > -sum(chance * math.log(chance) for chance in WORDS.values()) + 0.1


def test_bounds_belong_to_their_sequences_and_average_to_the_entropy():
    x1 = codes(*WORDS)
    whole = insert_nelbo(EXACT, PATH, x1, draws=200, seed=3)
    assert torch.equal(insert_nelbo(EXACT, PATH, x1[2:5], draws=200, seed=3, first_index=2), whole[2:5])
    chances = torch.tensor(list(WORDS.values()), dtype=torch.float64)
    assert float(whole @ chances) == pytest.approx(-float(chances @ chances.log()), abs=0.1)
    assert not torch.equal(insert_nelbo(EXACT, PATH, x1, draws=200, seed=4), whole)


def test_states_have_as_many_hidden_tokens_as_the_share_says():
    """Weighted by 1 / weight, h is binomial: of 3 tokens, E h = 3 s at every share; and gaps count what is shown."""
    rows = codes("abb").expand(40_000, -1)
    u = torch.rand(len(rows), LONGEST + 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    shown = show(PATH, rows, u)
    h = shown.hidden.sum(1)
    assert torch.bincount(h).double().div(len(rows)).tolist() == pytest.approx([0.25] * 4, abs=0.015)
    for level, mean in ((1, 1 / 4), (2, 2 / 4), (3, 3 / 4)):  # of Beta(h, n - h + 1)
        assert float(shown.hidden_share[h == level].mean()) == pytest.approx(mean, abs=0.01)
    assert float(shown.hidden_share[h == 0].mean()) == pytest.approx(1 / 5, abs=0.01)
    one = int(((h == 1) & shown.hidden[:, 1]).nonzero()[0])
    assert (texts(PATH.tokens(shown.states[[one]])), shown.gap_index[one, :3].tolist()) == (["ab"], [1, 1, 2])


def test_every_pattern_that_fits_has_the_same_weight_whatever_the_sequence():
    n_draws, longest = 60_000, 3
    found = {}
    for word in ("ab", "aba"):
        x1 = codes(word).expand(n_draws, -1)
        g = torch.Generator().manual_seed(2)
        pattern = draw_pattern(
            x1, torch.rand(n_draws, LONGEST + 4, dtype=torch.float64, generator=g), longest
        )
        total = defaultdict(float)
        rows = zip(pattern.fixed.tolist(), pattern.closed.tolist(), pattern.weight.tolist(), strict=True)
        for known, closed, weight in rows:
            total[tuple(known), tuple(closed)] += weight / n_draws
            assert not any(known[len(word) :])
            assert not any(closed[len(word) + 1 :])
        found[word] = total
    nothing = (False,) * LONGEST, (False,) * (LONGEST + 1)
    # A beginning of one token; one token in the middle of open gaps.
    start = (True, False, False, False), (True, False, False, False, False)
    middle = (False, True, False, False), (False,) * (LONGEST + 1)
    # C(5, 2) = 10 and C(6, 4) = 15 patterns of the longest with chance 1/4; "ends" and "middle" share those with i < j.
    for word in found:
        assert found[word][middle] == pytest.approx(0.25 / 15, abs=0.003)
        assert found[word][start] == pytest.approx(0.25 / 10, abs=0.003)
    assert found["aba"][nothing] == pytest.approx(0.5 + 0.25 / 10, abs=0.01)


def test_the_loss_is_least_at_the_exact_numbers_given_the_closed_gaps():
    """Its derivative along random directions vanishes within the error; without the weights of patterns it does not."""
    g = torch.Generator().manual_seed(5)
    n = 30_000
    chances = torch.tensor(list(WORDS.values()))
    x1 = codes(*WORDS)[torch.multinomial(chances, n, replacement=True, generator=g)]
    u = torch.rand(n, 2 * LONGEST + 6, dtype=torch.float64, generator=g)
    pattern = draw_pattern(x1, u[:, LONGEST + 2 :], LONGEST)
    shown = show(PATH, x1, u[:, : LONGEST + 2], fixed=pattern.fixed, closed=pattern.closed)
    m = EXACT(shown.states, shown.hidden_share).exp()
    flagged = (shown.states > 2) & (shown.states != PATH.end)
    scores = []
    for k in range(6):
        r = torch.sin(k + 1.0 + (k + 2) * shown.states.double())[..., None] * torch.tensor([1.0, 0.5])
        r = torch.where(flagged.any(1)[:, None, None], r, 0.0) if k % 2 else r
        at = r[torch.arange(n)[:, None], shown.gap_index, x1.clamp(min=0)]
        slope = shown.weight * ((m * r).sum((1, 2)) - torch.where(shown.hidden, at, 0.0).sum(1))
        for weight in (pattern.weight, (pattern.weight > 0).double()):
            scores.append(float((weight * slope).mean() / (weight * slope).std() * math.sqrt(n)))
    assert max(map(abs, scores[::2])) < 4
    assert max(map(abs, scores[1::2])) > 5


def test_the_loss_of_training_is_the_weighted_bound():
    net = TokenTransformer(5, vocabulary=PATH.end, width=8, depth=1, attention_heads=1, time_features=4)
    x1 = codes("ab", "a", "abba")
    found = InsertLoss(PATH, LONGEST)(net, {"x1": x1, "cond": None}, torch.Generator().manual_seed(0))[
        "bound"
    ]
    u = torch.rand(3, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pattern = draw_pattern(x1, u[:, 6:], LONGEST)
    shown = show(PATH, x1, u[:, :6], fixed=pattern.fixed, closed=pattern.closed)
    assert torch.equal(found, pattern.weight * terms(NetInsertions(net, PATH), x1, shown))
    found.sum().backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize("schedule", [None, CosineKeep()])
def test_sampled_words_have_the_law_to_first_order_in_the_step(schedule):
    """With the rate held and integrated, as for masks, over half of the words would be none of the table."""
    path = PATH if schedule is None else Insert(2, schedule)
    start = path.states(codes("", length=8)).expand(2500, -1)
    far = {}
    for steps in (10, 80):
        samples, full = grow(EXACT, path, start, steps=steps, seed=1)
        found = shares(texts(samples.x))
        far[steps] = variation(found, WORDS)
        outside = sum(chance for word, chance in found.items() if word not in WORDS)
        assert outside < 1.2 / steps
        assert not bool(full.any())
        assert samples.nfe.tolist() == [steps] * 2500
    assert far[80] < 0.045  # the floor of 2,500 true words is .019
    assert far[10] > 2 * far[80]


def test_parts_of_a_job_are_the_whole():
    start = PATH.states(codes("", length=6)).expand(150, -1)
    whole, _ = grow(EXACT, PATH, start, steps=12, seed=4)
    part, _ = grow(EXACT, PATH, start[:30], steps=12, seed=4, first_index=70)
    assert torch.equal(part.x, whole.x[70:100])


def closed_after(word, *, first, last, length=8):
    """A state in which all gaps of a word are closed but the first or the last."""
    closed = torch.zeros(1, length + 1, dtype=torch.bool)
    closed[:, : len(word) + 1] = True
    if first:
        closed[:, 0] = False
    if last:
        closed[:, len(word)] = False
    return PATH.states(codes(word, length=length), closed)


def test_words_that_begin_with_a_letter_need_numbers_that_know_the_closed_gap():
    start = closed_after("a", first=False, last=True).expand(2500, -1)
    total = sum(chance for word, chance in WORDS.items() if word.startswith("a"))
    truth = {word: chance / total for word, chance in WORDS.items() if word.startswith("a")}
    known = shares(texts(grow(EXACT, PATH, start, steps=80, seed=2)[0].x))
    blind = shares(texts(grow(Exact(WORDS, blind=True), PATH, start, steps=80, seed=2)[0].x))
    assert variation(known, truth) < 0.04
    assert variation(blind, truth) > 0.07
    assert blind["a"] == pytest.approx(0.269, abs=0.03)  # where .214 is right


def test_an_open_pattern_has_a_law_by_the_number_of_ways_to_fit():
    start = closed_after("b", first=True, last=True).expand(2500, -1)
    ways = {word: chance * word.count("b") for word, chance in WORDS.items() if "b" in word}
    truth = {word: weight / sum(ways.values()) for word, weight in ways.items()}
    found = shares(texts(grow(EXACT, PATH, start, steps=80, seed=3)[0].x))
    assert variation(found, truth) < 0.045
    assert variation(found, {word: chance / 0.55 for word, chance in WORDS.items() if "b" in word}) > 0.06


def test_no_sequence_grows_beyond_its_room_and_that_is_told():
    long = Exact({"aaaa": 1.0})
    samples, full = grow(long, PATH, PATH.states(codes("", length=2)).expand(5, -1), steps=30, seed=0)
    assert texts(samples.x) == ["aa"] * 5
    assert bool(full.all())
    samples, full = grow(long, PATH, PATH.states(codes("", length=9)).expand(50, -1), steps=64)
    assert not bool(full.any())


def test_the_numbers_of_a_network_are_its_outputs_and_vanish_with_the_hidden_share():
    out = torch.tensor([[0.3, -0.2, 0.7, 1.1, 9.0], [1.0, 2.0, -1.0, 0.4, 9.0], [0.0, 0.0, 0.0, 0.0, 9.0]])[
        None
    ]

    class Net(torch.nn.Module):
        def forward(self, x, t, cond=None):
            return out.expand(len(x), -1, -1)

    closed = torch.tensor([[False, True, False]])
    states = PATH.states(torch.tensor([[0, 1], [0, -1]]), closed.expand(2, -1))
    assert states.tolist() == [[2, 3, 1], [2, 3, 6]]
    assert PATH.tokens(states).tolist() == [[0, 1], [0, -1]]
    numbers = NetInsertions(Net(), PATH)(states, torch.tensor([0.25, 0.5], dtype=torch.float64)).exp()
    softmax = math.exp(0.3) / (math.exp(0.3) + math.exp(-0.2))
    for row, share in enumerate((0.25, 0.5)):
        odds = share * math.exp(1.1)
        wanted = math.exp(0.7) * odds / (1 + odds) * softmax
        assert float(numbers[row, 0, 0]) == pytest.approx(wanted, rel=1e-6)
    assert numbers[:, 1].eq(0).all()
    assert numbers[1, 2].eq(0).all()
    tiny = NetInsertions(Net(), PATH)(states, torch.tensor([1e-9, 1e-9], dtype=torch.float64)).exp()
    assert float(tiny[0].sum() / 1e-9) == pytest.approx(math.exp(0.7 + 1.1) + 1.0, rel=1e-6)
    with pytest.raises(InvalidInputError, match=r"K >= V \+ 2 = 7"):
        NetInsertions(Net(), Insert(5))(states, torch.tensor(0.5, dtype=torch.float64))


def test_numbers_that_are_none_and_tokens_out_of_range_are_refused():
    def diverged(states, hidden, cond=None):
        return torch.full((*states.shape, 2), torch.nan, dtype=torch.float64)

    with pytest.raises(
        InvalidInputError, match=r"must be finite, got NaN or infinity\. Train with a smaller lr"
    ):
        grow(diverged, PATH, PATH.states(codes("a")), steps=3)
    for x in (torch.tensor([[0, 2]]), torch.tensor([[0, -2]])):
        with pytest.raises(
            InvalidInputError, match=r"x1 must be tokens 0 \.\.\. 1, filled up with -1, got -?2"
        ):
            insert_nelbo(EXACT, PATH, x)
    with pytest.raises(InvalidInputError, match="vocabulary"):
        Insert(1)
