import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.data.equation_tokens import (
    EquationTokens,
    Grammar,
    InvalidEquationError,
    float_parts,
    rounded,
)
from interpolants.data.equation_trees import BINARY, UNARY, UNKNOWN, WHOLE, Tree, read_system, shown_system
from interpolants.foundations.errors import InvalidInputError

TOKENS = EquationTokens(3, longest=400)
LORENZ = "10.0*(u2 - u1) | u1*(28.0 - u3) - u2 | u1*u2 - 2.67*u3"


def random_tree(g, depth, states=3, calm=False):
    """A tree whose numbers are as tokens hold them; a calm one has no quotients."""
    pick = int(torch.randint(10, (), generator=g))
    if depth == 0 or pick < 2:
        kind = int(torch.randint(3, (), generator=g))
        if kind == 0:
            return Tree(f"u{int(torch.randint(states, (), generator=g)) + 1}")
        if kind == 1:
            return Tree(WHOLE, value=int(torch.randint(11, (), generator=g)))
        size = float(torch.randn((), generator=g, dtype=torch.float64))
        return Tree.number(rounded(size * 10 ** (0 if calm else int(torch.randint(-5, 9, (), generator=g)))))
    names = [n for n in (BINARY if pick < 7 else UNARY) if not calm or n not in ("div", "inv")]
    label = names[int(torch.randint(len(names), (), generator=g))]
    count = 2 if label in BINARY else 1
    return Tree(label, tuple(random_tree(g, depth - 1, states, calm) for _ in range(count)))


@pytest.mark.slow
def test_ten_thousand_random_systems_come_back_from_tokens_and_a_tenth_from_text():
    g = torch.Generator().manual_seed(0)
    for k in range(10_000):
        system = tuple(random_tree(g, 3) for _ in range(1 + k % 3))
        assert TOKENS.decode(TOKENS.encode(system)) == system
        if k % 10 == 0 and all(max(tree.states, default=0) <= len(system) for tree in system):
            assert read_system(shown_system(system)) == system


def test_floats_have_three_digits_a_sign_and_zero():
    sizes = 10 ** torch.linspace(-7.99, 12.99, 5001, dtype=torch.float64)
    for value in (*sizes.tolist(), *(-sizes).tolist()):
        if abs(value) <= 9.99e12:
            assert abs(rounded(value) - value) <= 0.005 * abs(value)
            assert math.copysign(1, rounded(value)) == math.copysign(1, value)
    assert rounded(0.0) == 0.0
    assert float_parts(10.0) == ("+", 100, -1)
    assert float_parts(9.999) == ("+", 100, -1)
    assert rounded(2.67) == 2.67
    assert float_parts(9.99e12) == ("+", 999, 10)


@pytest.mark.parametrize("bad", [1e13, 9.99e-9, math.inf, math.nan])
def test_numbers_out_of_range_are_named(bad):
    with pytest.raises(InvalidInputError, match=f"constants must be 0, or between .*{bad!r}"):
        float_parts(bad)


def test_trees_are_what_sympy_makes_of_them():
    import sympy

    g = torch.Generator().manual_seed(1)
    u = torch.randn(3, 20, generator=g, dtype=torch.float64)
    symbols = sympy.symbols("u1 u2 u3")
    for _ in range(60):
        tree = random_tree(g, 3, calm=True)
        call = sympy.lambdify(symbols, tree.sympy(), "numpy")
        expected = torch.as_tensor(np.broadcast_to(call(*u.numpy()), (20,)).copy())
        found = torch.as_tensor(np.broadcast_to(np.asarray(tree.at(u.numpy())), (20,)).copy())
        assert_close(found.double(), expected.double(), rtol=1e-12, atol=1e-12)
        back = Tree.of_sympy(tree.sympy(), ("u1", "u2", "u3")).at(u.numpy())
        assert_close(
            torch.as_tensor(np.broadcast_to(np.asarray(back), (20,)).copy()).double(), expected.double()
        )


def test_text_is_read_as_it_is_written():
    trees = read_system("sigma*(y - x) | x*(rho - z) - y | x*y - beta*z", ("x", "y", "z"))
    assert trees[0].parameters == ["sigma"]
    known = [t.with_parameters({"sigma": 10.0, "rho": 28.0, "beta": 2.67}) for t in trees]
    assert tuple(known) == read_system(LORENZ)
    assert shown_system(known) == LORENZ
    words = [TOKENS.words[code] for code in TOKENS.encode(known)]
    first = (
        "mul + N100 E-1 sub u2 u1 | sub mul u1 sub + N280 E-1 u3 u2 | sub mul u1 u2 mul + N267 E-2 u3 <end>"
    )
    assert words == first.split()
    assert [leaf.label for leaf in known[0].skeleton().leaves()] == [UNKNOWN, "u2", "u1"]
    assert str(Tree.of_text("-u1*u2 - (u1 - u2)**3/(-2.5)")) == "(-u1)*u2 - (u1 - u2)**2*(u1 - u2)/(-2.5)"


def test_terms_of_a_sum_keep_their_signs():
    tree = Tree.of_text("u1*u2 - (2.0*u1 - u2) + 3")
    assert [str(term) for term in tree.terms()] == ["u1*u2", "-(2.0*u1)", "u2", "3"]
    u = [torch.tensor(0.7), torch.tensor(-1.3)]
    assert_close(Tree.sum_of(tree.terms()).at(u), tree.at(u))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('true')", "every operator must be one of"),
        ("u1 +", "must be a formula"),
        ("exp(u1)", "every operator must be one of"),
        ("u1**u2", "exponents must be whole numbers"),
        ("sinn(u1)", "Did you mean 'sin'"),
        ("u1 if u2 else 3", "every operator must be one of"),
        ("'a'", "constants must be numbers"),
        ("u3 | u1", "states u1 ... u2"),
        ("(" * 60 + "u1" + ")" * 60 + "+ u9", "states u1"),
        ("-" * 50 + "u1", "levels deep"),
    ],
)
def test_what_is_no_equation_is_refused(text, said):
    with pytest.raises(InvalidInputError, match=said):
        read_system(text)


@pytest.mark.parametrize(
    "words", ["add u1", "add u1 u2 u3", "", "mul + N100 u1", "|", "u1 |", "u1 | N100", "<pad>"]
)
def test_broken_tokens_are_reported_and_not_crashed_on(words):
    codes = [TOKENS.code[word] for word in words.split()]
    assert not TOKENS.is_valid(codes)
    with pytest.raises(InvalidEquationError, match="whole trees in Polish notation"):
        TOKENS.decode(codes)


def test_too_long_too_wide_and_too_deep_systems_are_refused():
    deep = Tree("u1")
    for _ in range(45):
        deep = Tree("neg", (deep,))
    with pytest.raises(InvalidInputError, match="levels deep"):
        TOKENS.encode((deep,))
    with pytest.raises(InvalidInputError, match="fewer than 12 tokens, got 27"):
        EquationTokens(3, longest=12).encode(read_system(LORENZ))
    with pytest.raises(InvalidInputError, match="at most 2 states"):
        EquationTokens(2).encode(read_system(LORENZ))


def test_random_choices_within_the_grammar_are_always_valid_and_all_true_tokens_are_within_it():
    g = torch.Generator().manual_seed(2)
    tokens = EquationTokens(3, longest=40)
    equations = torch.tensor([1, 2, 3] * 40)
    grammar, chosen = Grammar(tokens, equations), []
    while not grammar.done:
        codes = torch.multinomial(grammar.allowed().double(), 1, generator=g)[:, 0]
        grammar.choose(codes)
        chosen.append(codes)
    assert len(chosen) <= 40
    for row, n in zip(torch.stack(chosen, 1).tolist(), equations.tolist(), strict=True):
        system = tokens.decode(row)
        assert len(system) == n
        assert all(max(tree.states, default=0) <= n for tree in system)
    grammar = Grammar(TOKENS, torch.tensor([3]))
    for code in TOKENS.encode(read_system(LORENZ)):
        assert bool(grammar.allowed()[0, code]), TOKENS.words[code]
        grammar.choose(torch.tensor([code]))
    assert grammar.done


@pytest.mark.parametrize(
    ("texts", "said"), [(["u2 | -u1"], "a list of 1 system"), (["u2 | -u1", "-u1"], "of 2 systems")]
)
def test_a_list_of_systems_is_refused_as_such(texts, said):
    """``identify`` returns a list, also for one trajectory."""
    with pytest.raises(
        InvalidInputError, match=rf"{said}\. Pass an item of the list, e\.g\. read_system\(texts\[0\]\)"
    ):
        read_system(texts)
    assert shown_system(read_system(texts[0])) == "u2 | -u1"
