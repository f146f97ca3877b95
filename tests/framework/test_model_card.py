"""Model cards: front matter that the hub reads, results of runs, and cards of the user's that are kept."""

import pytest
import torch
import yaml

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FileWarning
from interpolants.framework.model_card import model_card
from interpolants.framework.scores import Score
from interpolants.methods.rivals.gaussian_fit import GaussianFit

X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))


def fitted(**options):
    return GaussianFit(**options).fit(x1=X)


def front(text):
    """The YAML between the first two lines of dashes, as the hub reads it."""
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def test_a_saved_model_has_a_card_that_the_hub_reads(tmp_path):
    folder = fitted(seed=3).save(tmp_path / "m", license="cc-by-4.0", datasets=["moons"])
    text = (folder / "README.md").read_text()
    found = front(text)
    assert found["library_name"] == "interpolants"
    assert found["license"] == "cc-by-4.0"
    assert found["datasets"] == ["moons"]
    assert found["tags"][:2] == ["interpolants", "gaussian-fit"]
    assert "model-index" not in found
    assert "`seed`: `3`" in text
    assert "itp.load(" in text


def test_a_licence_is_unknown_unless_given_and_scores_are_the_index():
    scores = [
        Score(name="quality.energy", value=0.25, error=0.01, title="Energy distance", rivals={"mean": 1.0}),
        Score(name="quality.lost", value=float("nan")),
    ]
    text = model_card(fitted(), datasets=["moons"], scores=scores)
    found = front(text)
    assert found["license"] == "unknown"
    (result,) = found["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "quality.energy", "name": "Energy distance", "value": 0.25}]
    assert result["dataset"] == {"name": "moons", "type": "moons"}
    assert "Energy distance (`quality.energy`): 0.25 ± 0.01; mean 1" in text


def test_a_card_of_ours_is_renewed_and_one_that_was_edited_is_kept(tmp_path):
    folder = fitted(seed=1).save(tmp_path / "m")
    fitted(seed=2).save(folder)
    text = (folder / "README.md").read_text()
    assert "`seed`: `2`" in text
    edited = text.replace("# ", "# My own ", 1)
    (folder / "README.md").write_text(edited)
    with pytest.warns(FileWarning, match="was edited, and is kept"):
        fitted(seed=3).save(folder)
    assert (folder / "README.md").read_text() == edited
    assert itp.load(folder).seed == 3, "an edited card does not damage the model"


@pytest.mark.parametrize("mine", ["", "# Mine\n"])
def test_a_card_without_our_hash_is_the_user_s(tmp_path, mine):
    folder = fitted().save(tmp_path / "m")
    (folder / "README.md").write_text(mine)
    with pytest.warns(FileWarning):
        fitted().save(folder)
    assert (folder / "README.md").read_text() == mine


def test_models_without_a_card_are_read_and_saved_over(tmp_path):
    folder = fitted().save(tmp_path / "m")
    (folder / "README.md").unlink()
    again = itp.load(folder)
    again.save(folder)
    assert (folder / "README.md").is_file()


def test_two_saves_write_the_same_card(tmp_path):
    texts = [(fitted().save(tmp_path / name) / "README.md").read_text() for name in "ab"]
    assert texts[0] == texts[1]
    assert " at 0x" not in texts[0]


@pytest.mark.parametrize("license", ["", "MIT License", 3])
def test_what_is_no_licence_is_refused_and_nothing_is_written(tmp_path, license):
    with pytest.raises(InvalidInputError, match="license must be the id of a licence"):
        fitted().save(tmp_path / "m", license=license)
    assert not (tmp_path / "m").exists()


def test_a_card_tells_labels_conditions_and_the_settings_of_the_fit(tmp_path):
    net = {"kind": "mlp", "width": 8, "depth": 1}
    bridge = itp.Bridge("one_sided_linear", net=net)
    bridge.fit(x1=X, cond={"age": X[:, 0], "place": ["a", "b"] * 25}, steps=2, batch_size=16, progress=False)
    text = model_card(bridge)
    assert "- `cond`: condition, rows of shape (3,); columns age, place = a, place = b\n" in text
    assert "- `steps`: `2`\n" in text
    labelled = itp.Bridge("one_sided_linear", net=net).fit(
        x1=X, cond=["a", "b"] * 25, steps=1, progress=False
    )
    assert "- `cond`: labels; labels a, b\n" in model_card(labelled)
    vectors = itp.Bridge("one_sided_linear", net=net).fit(x1=X, cond=X, steps=1, progress=False)
    assert "- `cond`: condition, rows of shape (2,)\n" in model_card(vectors)


def test_names_of_data_and_columns_do_not_act_in_a_card():
    names = ["</script><script>", "[x](javascript:alert(1))", "`code`"]
    table = pytest.importorskip("pandas").DataFrame(
        {name: X[:, 0].numpy() + k for k, name in enumerate(names)}
    )
    text = model_card(GaussianFit().fit(x1=table), datasets=names)
    told = text.split("---\n", 2)[2]
    assert r"columns &lt;/script&gt;&lt;script&gt;, \[x\]\(javascript:alert(1)), \`code\`" in told
    assert "<script" not in told
    assert "](javascript:" not in told
