"""Questions of the core on methods whose answers are known."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.distances import spread_of
from interpolants.methods.questions.sample_quality import SampleQuality, samples_figure
from interpolants.methods.rivals.gaussian_fit import GaussianFit


def gaussian_task(shift=0.0):
    x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(3))
    method = GaussianFit().fit(x[:1500] + shift)
    return method, Task.of(method.roles(), {"x1": x}, Split(test=0.25))


def test_samples_of_the_right_distribution_lie_at_the_floor_and_shifted_ones_above_it_by_the_shift():
    method, task = gaussian_task()
    found = ask(SampleQuality(), method, task)["sliced_w2"]
    assert abs(found.value - found.floor) < 4 * found.floor_error + 2 * found.error
    shifted, _ = gaussian_task(shift=torch.tensor([3.0, 0.0]))
    far = ask(SampleQuality(), shifted, task)["sliced_w2"]
    # A shift by m moves the projection on a direction by m cos(angle), whose mean square is m^2 / 2.
    assert abs(far.value - 3 / 2**0.5) < 0.25


class _Turned(GaussianFit):
    """Rows of the fit, turned by one period: the same angles."""

    @capability(like="x1")
    def sample(self, n, *, seed=0):
        return self.rows[:n] - 360.0


def test_distances_of_angles_do_not_see_the_period():
    x = torch.randn(400, 1, generator=torch.Generator().manual_seed(0)) * 20 % 360
    method = _Turned().fit(x[:300])
    method.rows = x
    task = Task.of(method.roles(), {"x1": x}, Split(test=0.25))
    flat = ask(SampleQuality(), method, task)["energy_distance"].value
    circle = ask(SampleQuality(space={"0": "circle"}), method, task)["energy_distance"]
    assert flat > 1
    assert abs(circle.value) < 0.05
    with pytest.raises(InvalidInputError, match="space must name columns of the table"):
        ask(SampleQuality(space={"direction": "circle"}), method, task)


def test_images_stand_in_rows_by_the_label_that_was_asked_for():
    labels = torch.tensor([2, 0, 2, 0, 1, 2, 0])
    x = labels.float()[:, None, None, None].expand(7, 1, 2, 2)
    made = samples_figure("s", {"real": x, "made": 10 + x}, labels=labels)
    shown = made.panels[0].series[0]
    assert shown.arrays["images"][:, :, 0, 0].tolist() == [
        [0.0, 0.0, 0.0],
        [2.0, 2.0, 2.0],
    ]  # one 1 is no row
    assert made.panels[0].y.names == ("0", "2")
    assert made.height == 2 * 42 + 20  # a line of pictures for each of them
    assert [panel.series[0].high for panel in made.panels] == [
        2.0,
        2.0,
    ]  # one grey means one number in all sets
    plain = samples_figure("s", {"real": x}).panels[0].series[0]
    assert plain.arrays["images"].shape == (1, 6, 2, 2)


def test_rivals_are_fitted_on_the_training_part_and_named():
    method, task = gaussian_task()
    found = ask(SampleQuality(n=300), method, task, ["gaussian_fit", {"twin": {"ridge": 10.0}}])
    score = found["energy_distance"]
    assert set(score.rivals) == {"gaussian_fit", "twin"}
    assert score.rivals["twin"] > score.rivals["gaussian_fit"]
    assert found.figures[0].name == "samples"
    titles = [panel.title for panel in found.figures[0].panels]
    assert [title.partition(",")[0] for title in titles] == ["real", "samples", "gaussian fit", "twin"]
    assert titles[0] == "real"
    assert titles[3].endswith(" % outside")  # points that the axes of the real ones do not show


def test_a_twin_that_differs_in_its_answers_alone_is_not_fitted_again():
    class Louder(GaussianFit):
        answering = ("volume",)
        volume: float = 1.0

        @capability(like="x1")
        def sample(self, n, *, seed=0):
            return self.volume * GaussianFit.sample(self, n, seed=seed)

    method, task = gaussian_task()
    louder = Louder().take_over(method.learnt())
    known = {"twin": {"volume": 3.0}, "name": "loud"}
    fits = []
    Louder.learn = lambda self, data, run: fits.append(self) or method.state
    found = ask(SampleQuality(n=300), louder, task, [known, {"twin": {"ridge": 10.0, "volume": 3.0}}])
    assert len(fits) == 1
    assert found["energy_distance"].rivals["loud"] > 10 * found["energy_distance"].value
    assert louder.volume == 1.0


def test_settings_of_answers_leave_what_was_learnt_and_are_no_part_of_the_identity():
    class Louder(GaussianFit):
        answering = ("volume",)
        volume: float = 1.0

    fitted = Louder().fit(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
    assert fitted.set_params(volume=2.0).is_fitted
    assert fitted.identity() == Louder().identity()
    assert not fitted.set_params(volume=1.0, ridge=0.5).is_fitted


def test_a_method_that_cannot_answer_is_refused_with_what_it_can():
    class Blind(GaussianFit):
        def cannot(self, verb):
            return "it is blind." if verb == "sample" else ""

    method = Blind().fit(torch.zeros(5, 1))
    task = Task.of(method.roles(), {"x1": torch.zeros(20, 1)})
    with pytest.raises(InvalidInputError, match="must be able to sample"):
        ask(SampleQuality(), method, task)


def test_distances_are_in_standard_units_of_the_training_rows_unless_data_units_are_asked_for():
    g = torch.Generator().manual_seed(4)
    x = torch.randn(2000, 2, generator=g)
    units = torch.tensor([1000.0, 0.01])
    plain, scaled = (
        Task.of(GaussianFit().roles(), {"x1": rows}, Split(test=0.25)) for rows in (x, x * units)
    )
    found = ask(SampleQuality(), scaled.fit(GaussianFit()), scaled)["sliced_w2"]
    same = ask(SampleQuality(), plain.fit(GaussianFit()), plain)["sliced_w2"]
    assert found.unit == "standard units"
    assert abs(found.value - same.value) < 1e-3
    assert abs(found.floor - same.floor) < 1e-3
    raw = ask(SampleQuality(units="data"), scaled.fit(GaussianFit()), scaled)["sliced_w2"]
    assert raw.unit == "data units"
    assert raw.value > 100 * found.value  # the column of thousands alone is seen
    images = spread_of(torch.cat([torch.zeros(4, 1, 1, 1), 2 * torch.ones(4, 1, 1, 1)], -1))
    assert images.item() == 1.0  # one for all pixels
    assert spread_of(torch.ones(3, 2)).tolist() == [1.0, 1.0]  # nothing varies
