"""The recipe of pictures of 28 x 28 pixels: that it runs and judges by nats; how well it learns is on its page."""

import pytest

from interpolants.data.sets.images import load_fashion_mnist
from interpolants.foundations.errors import MissingExtraError
from interpolants.runs.recipe_files import RecipeFolder, read_recipe

CHEAP = ['divergence="hutchinson"', 'method="midpoint"', "n_steps=4"]


@pytest.mark.slow  # reads 60,000 pictures
def test_the_recipe_of_clothes_learns_and_scores_unseen_pictures_beside_a_gaussian(tmp_path):
    try:
        load_fashion_mnist("test")
    except MissingExtraError as error:
        pytest.skip(str(error))
    asked = f'ask=[{{question="held_out_likelihood", n=4, options={{{", ".join(CHEAP)}}}, rivals=["gaussian_fit"]}}]'
    short = ["data.x1.limit=200", "method.steps=3", "method.batch_size=4", asked]
    found = RecipeFolder(tmp_path / "run", read_recipe("fashion", short, quick=True)).run()
    score = found["held_out_likelihood.log_likelihood_per_dim"]
    assert score.rivals.keys() == {"gaussian_fit"}
    assert score.unit == "nats/dim"
