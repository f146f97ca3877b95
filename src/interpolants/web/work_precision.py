"""Work-precision curves: distance of the particles to the exact distribution over evaluations, solver by solver."""

from typing import Any

from interpolants.foundations.randomness import generator
from interpolants.web.playground import Question, Scene, distance, scene, stages, travel
from interpolants.web.work import Work

EVALUATIONS = (4, 8, 12, 16, 24, 32, 64)
PARTICLES = 2000
_CURVES = 4  # as many as can be told apart


def prices(question: Question, work: Work | None = None) -> dict[str, Any]:
    """Energy distance to the true law over evaluations a particle, for each solver; the noise level is the question's.

    Args:
        question: Laws, path, noise level, direction and seed; its solver, steps and particles are not looked at.
        work: Told how far it is; stops it.

    Returns:
        ``curves`` with a ``name`` and rows ``(evaluations, distance, standard error)``; ``floor``, the same for two
        true samples; ``n`` particles.

    Raises:
        InvalidInputError: If there is noise without a score.
    """
    work, set_up, solvers = work or Work(), price_scene(question), _solvers(question.eps)
    asked = question.model_copy(update={"n": PARTICLES, "start": None})
    start = set_up.begin.sample(PARTICLES, generator=generator(question.seed, "price start"))
    curves, done = [], 0
    for name, eps, method in solvers:
        rows = []
        for evaluations in EVALUATIONS:
            work.step(done / (len(solvers) * sum(EVALUATIONS)), f"{name}, {evaluations} evaluations")
            steps = evaluations // stages()[method]
            one = asked.model_copy(update={"eps": eps, "method": method, "n_steps": steps})
            arrived = travel(one, set_up.fields, start, lambda _: work.step()).x
            value, error = distance(arrived, set_up.goal, question.seed, "price distance")
            rows.append((evaluations, value, error))
            done += evaluations
        curves.append({"name": name, "rows": rows})
    truth = set_up.goal.sample(PARTICLES, generator=generator(question.seed, "price truth"))
    return {
        "curves": curves,
        "floor": distance(truth, set_up.goal, question.seed, "price floor"),
        "n": PARTICLES,
    }


def price_scene(question: Question) -> Scene:
    """The bridge of a question, once its cost was checked.

    Raises:
        InvalidInputError: If there is noise without a score.
    """
    one = question.model_copy(update={"n": PARTICLES, "n_steps": 1, "method": "euler"})
    return scene(one, runs=sum(EVALUATIONS) * len(_solvers(question.eps)))


def _solvers(eps: float) -> list[tuple[str, float, str]]:
    """Name, noise level and solver of each curve; with noise one flow beside the SDEs."""
    flow = [(f"ODE, {method}", 0.0, method) for method in stages("ode")]
    noisy = [(f"SDE, {method}", eps, method) for method in stages("sde")] if eps else []
    usual = [one for one in flow if one[2] == Question().method] if eps else flow
    return [*usual, *noisy][:_CURVES]
