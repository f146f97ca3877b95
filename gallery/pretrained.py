"""Train the models that ship with the library, and store them with their scores: ``make pretrained``.

``python -m gallery.pretrained [NAME ...] [--runs DIR]`` runs each model's recipe, copies the model to
``src/interpolants/pretrained`` and writes its description to ``models.json``. The run folders keep the reports.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import interpolants as itp
from interpolants.foundations.pretrained import DESCRIPTIONS, models_folder
from interpolants.foundations.storage import README, write_text
from interpolants.framework.method import Method
from interpolants.framework.model_card import model_card
from interpolants.framework.questions import ask
from interpolants.framework.scores import Score
from interpolants.runs.recipe import make_method, make_questions, make_task
from interpolants.runs.recipe_files import RecipeFolder, read_recipe
from interpolants.runs.values import Place


@dataclass(frozen=True)
class Trained:
    """A model that ships trained.

    Attributes:
        title: One line about the model.
        recipe: Name of the recipe that trains it.
        licence: Licence of the weights, as the id of the Hugging Face hub.
        credit: Licence as text, with the authors of the data.
        data: Data that it was trained on.
        scores: Names of the scores to keep, ``question.score``.
    """

    title: str
    recipe: str
    licence: str
    credit: str
    data: str
    scores: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command that trains and scores it."""
        return f"interpolants run --config {self.recipe} --out runs/{self.recipe}"


MODELS = {
    "colours": Trained(
        title="Colours of one photograph to those of another: tables with the columns red, green, blue in (0, 1)",
        recipe="colours",
        licence="cc-by-2.0",
        credit="CC BY 2.0; photographs china.jpg by danielbuechele and flower.jpg by vultilion, on Flickr",
        data="photo_pixels: pixels of two photographs of scikit-learn, from the temple to the flower",
        scores=("noise_levels.energy_distance_ode", "noise_levels.energy_distance_eps_0_5"),
    ),
    "digits": Trained(
        title="Handwritten digits from noise with the label as condition, (N, 1, 8, 8) in [-1, 1]",
        recipe="guidance",
        licence="bsd-3-clause",
        credit="BSD-3-Clause, as scikit-learn states for its copy of the data by E. Alpaydin and C. Kaynak",
        data="digits: 1,797 images of scikit-learn, the test part of UCI's optical digits",
        scores=("label_accuracy.accuracy", "guided_labels.accuracy", "noise_levels.energy_distance_ode"),
    ),
    "moons": Trained(
        title="Two half moons from noise, (N, 2)",
        recipe="generated_moons",
        licence="apache-2.0",
        credit="Apache-2.0, as the library",
        data="moons: 20,000 samples of the library's own distribution, whose density is exact",
        scores=("noise_levels.energy_distance_ode", "held_out_likelihood.log_likelihood"),
    ),
}


def measured(model: Trained, method: Method) -> dict[str, Score]:
    """Return the kept scores of a method, from the questions of the recipe on its held-out data."""
    recipe = read_recipe(model.recipe)
    (tables,) = recipe.tasks
    folders = Place(seed=recipe.seed, models=Path)
    task, _ = make_task(tables, make_method(tables, recipe.seed), folders)
    scores = {}
    for name, question, rivals in make_questions(tables):
        if any(score.startswith(f"{name}.") for score in model.scores):
            scores |= {f"{name}.{score.name}": score for score in ask(question, method, task, rivals).scores}
    return {name: scores[name] for name in model.scores}


def description(model: Trained, scores: Mapping[str, Score], size: int) -> dict[str, Any]:
    """Return what ``models.json`` holds of a model."""
    return {
        "title": model.title,
        "licence": model.credit,
        "data": model.data,
        "command": model.command,
        "bytes": size,
        "scores": [
            {
                "name": name,
                "value": score.value,
                "error": score.error if math.isfinite(score.error) else None,
                "better": score.better,
                "n": score.n,
                "rivals": dict(score.rivals),
            }
            for name, score in scores.items()
        ],
    }


def make(name: str, runs: Path) -> dict[str, Any]:
    """Train one model, or resume its run, store it, and return its description."""
    model = MODELS[name]
    out = runs / model.recipe
    RecipeFolder(out, read_recipe(model.recipe)).run(resume=out.exists())
    method: Method = itp.load(out)
    scores = measured(model, method)
    target = models_folder() / name
    method.save(target, license=model.licence, datasets=[model.data])
    card = model_card(method, license=model.licence, datasets=[model.data], scores=tuple(scores.values()))
    write_text(target / README, card)
    return description(model, scores, sum(file.stat().st_size for file in target.iterdir()))


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m gallery.pretrained", description="Train the models that ship."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of models [default: all]")
    parser.add_argument("--runs", type=Path, default=Path("runs/pretrained"), help="folder of the runs")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(MODELS):
        parser.error(f"unknown model: {', '.join(sorted(unknown))}. There are: {', '.join(MODELS)}")
    file = models_folder() / DESCRIPTIONS
    models = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in options.names or MODELS:
        models[name] = make(name, options.runs)
        write_text(
            file,
            json.dumps({key: models[key] for key in sorted(models)}, indent=1, ensure_ascii=False) + "\n",
        )
        sys.stdout.write(f"{name}: {models[name]['bytes']:,} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
