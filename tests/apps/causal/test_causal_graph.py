import pytest

from interpolants.apps.causal.causal_graph import CausalGraph, tells_order
from interpolants.foundations.errors import InvalidInputError

DIAMOND = "wind -> wave, sun -> heat; heat -> wind -> sail"


class Directed:
    """What a graph of networkx shows of itself."""

    nodes = ("a", "b", "c")
    edges = (("a", "b"), ("b", "c"))

    def is_directed(self):
        return True


def test_causes_come_before_effects_and_effects_go_on_over_many_edges():
    graph = CausalGraph.of(DIAMOND)
    assert graph.names == ("wind", "wave", "sun", "heat", "sail")
    places = {graph.names[place]: k for k, place in enumerate(graph.order)}
    assert all(places[a] < places[b] for a, b in graph.edges)
    assert graph.parents("wind") == ("heat",)
    assert graph.descendants("sun") == ("wind", "wave", "heat", "sail")
    assert graph.descendants("sail") == ()


def test_all_forms_give_one_graph_and_its_words_give_it_back():
    chain = CausalGraph(("a", "b", "c"), (("a", "b"), ("b", "c")))
    matrix = {"names": ["a", "b", "c"], "adjacency": [[0, 1, 0], [0, 0, 1], [0, 0, 0]]}
    for form in (
        "a -> b -> c",
        [("a", "b"), ["b", "c"]],
        {"a": [], "b": ["a"], "c": ["b"]},
        matrix,
        Directed(),
        chain,
    ):
        assert CausalGraph.of(form) == chain
    assert CausalGraph.of("x; y").edges == ()
    for graph in (chain, CausalGraph.of(DIAMOND), CausalGraph.of("x")):
        assert CausalGraph.of(graph.text) == graph


def test_words_tell_an_order_only_on_purpose():
    assert tells_order("a -> b -> c")
    assert tells_order("a; b; c; a -> c, b -> c")
    assert not tells_order("a -> c, b -> c")
    assert not tells_order(CausalGraph.words([("a", "c"), ("b", "c")]))
    for graph in (Directed(), {"a": [], "b": ["a"]}, CausalGraph.of("a -> c, b -> c")):
        assert tells_order(CausalGraph.words(graph))


def test_a_graph_of_networkx_is_read_and_one_without_directions_is_refused():
    networkx = pytest.importorskip("networkx")
    assert CausalGraph.of(networkx.DiGraph([("a", "b"), ("a", "c")])).descendants("a") == ("b", "c")
    with pytest.raises(InvalidInputError, match="edges must have a direction"):
        CausalGraph.of(networkx.Graph([("a", "b")]))


@pytest.mark.parametrize(
    ("graph", "says"),
    [
        ("a -> b -> c -> b", r"no cycle, got '?(b -> c -> b|c -> b -> c)"),
        ("a -> a", "must not cause itself, got '?a -> a"),
        ({"names": ["a", "b"], "adjacency": [[0, 1]]}, "square with a row for each of the 2"),
        ({"names": ["a", "b"], "adjacency": [[0, 0.5], [0, 0]]}, "0 or 1, got 0.5"),
        ({"a": [], "b": ["aa"]}, "Did you mean 'a'"),
        ([("a", "b"), ("a", "b")], "every edge must come once"),
        ({"names": ["a", "a"], "adjacency": [[0, 0], [0, 0]]}, "different names"),
        ("", "graph must have at least one variable"),
        (7, "text, pairs, a table or a directed graph, got"),
    ],
)
def test_what_is_no_graph_of_causes_is_refused(graph, says):
    with pytest.raises(InvalidInputError, match=says):
        CausalGraph.of(graph)


def test_an_unknown_variable_is_answered_with_the_nearest():
    with pytest.raises(InvalidInputError, match="Did you mean 'heat'"):
        CausalGraph.of(DIAMOND).descendants("heta")


def test_a_matrix_without_names_has_numbers():
    graph = CausalGraph.of({"adjacency": [[0, 1], [0, 0]]})
    assert graph.names == ("0", "1")
    assert graph.edges == (("0", "1"),)
