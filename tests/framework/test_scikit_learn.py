"""Methods as estimators of scikit-learn: searches, pipelines, folds, its own checks, and why some of these fail."""

import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn")

import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.scikit_learn import are_labels
from interpolants.methods import ExactGP
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.methods.rivals.unchanged import Unchanged

RNG = np.random.default_rng(0)
LABEL = RNG.integers(0, 2, 240)
X = RNG.normal(size=(240, 2)) * (1.0, 3.0) + 4.0 * LABEL[:, None]
SMALL = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "steps": 60, "held_out": 0, "lr": 5e-3}


def flow(**settings):
    return Bridge("one_sided_linear", **{**SMALL, **settings})


# --- score


def test_the_score_of_a_gaussian_is_that_of_scikit_learn():
    ours = GaussianFit().fit(X[:200])
    theirs = GaussianMixture(1, reg_covar=0.0).fit(X[:200])
    assert ours.score(X[200:]) == pytest.approx(theirs.score(X[200:]), rel=2e-3)  # N - 1 against N
    assert ours.score(X[200:]) == pytest.approx(float(np.mean(ours.log_prob(X[200:]))), rel=1e-12)


def test_scaled_rows_have_another_density_by_the_log_of_the_scales():
    pipe = make_pipeline(StandardScaler(), GaussianFit()).fit(X)
    gap = pipe.score(X) - GaussianFit().fit(X).score(X)
    assert gap == pytest.approx(float(np.log(pipe[0].scale_).sum()), rel=1e-6)


def test_the_score_of_a_prediction_is_its_mean_log_density():
    x, y = X[:40, :1], np.sin(X[:40, 0])
    model = ExactGP(steps=5).fit(x[:30], y[:30])
    assert model.score(x[30:], y[30:]) == pytest.approx(float(model.predict(x[30:]).log_prob(y[30:]).mean()))
    for bad, said in ((None, "y is required"), (np.full(10, np.nan), "y must be finite")):
        with pytest.raises(InvalidInputError, match=said):
            model.score(x[30:], bad)
    with pytest.raises(InvalidInputError, match="mean over rows, got joint=True"):
        model.score(x[30:], y[30:], joint=True)


def test_what_has_no_density_is_refused_with_the_way_out():
    with pytest.raises(NotAbleError, match=r"no log_prob and no predict\. Pass scoring="):
        Unchanged().score(X)
    with pytest.raises(NotAbleError, match=r"Bridge.score: rho0 was given by samples.*leg"):
        Bridge(**SMALL).fit(X[:99], X[99:198], progress=False).score(X)


def test_rows_with_other_columns_are_refused():
    table = pd.DataFrame(X, columns=["a", "b"])
    model = GaussianFit().fit(table)
    swapped = table[["b", "a"]]
    assert model.score(swapped) == pytest.approx(model.score(table), rel=1e-12)
    for bad in (X[:, :1], table.rename(columns={"a": "c"}), X[:0]):
        with pytest.raises(InvalidInputError):
            model.score(bad)


# --- fit(X) and fit(X, y)


def test_one_array_is_x1_and_labels_beside_it_are_the_condition():
    told = flow().fit(X, LABEL, progress=False)
    by_name = flow().fit(x1=X, cond=LABEL, progress=False)
    assert told.score(X, LABEL) == by_name.score(X, LABEL)
    assert flow().fit(X, None, progress=False).score(X) == flow().fit(x1=X, progress=False).score(X)
    with pytest.raises(InvalidInputError, match="fitted with cond needs it in every call"):
        told.score(X)
    with pytest.raises(InvalidInputError, match="y requires a bridge fitted with conditions"):
        flow().fit(X, progress=False).score(X, LABEL)


@pytest.mark.parametrize("y", [LABEL.astype(float), X, X[:, 0]], ids=["whole floats", "rows", "numbers"])
def test_what_may_be_samples_of_x0_and_x1_is_refused_on_a_path_from_noise(y):
    with pytest.raises(InvalidInputError, match=r"draws x0 .* Conditions go by name"):
        flow().fit(X, y)


def test_x0_by_name_is_never_taken_for_x1():
    with pytest.raises(InvalidInputError, match="draws x0 from its own Gaussian base"):
        flow().fit(x0=X)
    with pytest.raises(InvalidInputError, match="draws x0 from its own Gaussian base"):
        flow().fit(X, x1=X)
    with pytest.raises(InvalidInputError, match=r"x1 is needed, .* Bridge\('one_sided_linear'\).fit\(x\)"):
        Bridge().fit(X)


def test_labels_are_words_and_whole_numbers_one_for_each_row():
    words = np.where(LABEL == 0, "left", "right")
    good = (LABEL, LABEL.astype(bool), words, list(words), pd.Series(words), torch.as_tensor(LABEL))
    assert all(are_labels(y, X) for y in good)
    assert not any(are_labels(y, X) for y in (X[:, 0], LABEL[:, None], torch.zeros(240), object()))
    assert not are_labels(LABEL, X[:, 0])  # both may be samples of one number


# --- scikit-learn's tools


@pytest.mark.slow
def test_a_grid_search_and_folds_give_the_same_twice_and_choose_what_learns():
    grid = {"lr": [1e-6, 5e-3]}
    one, two = (GridSearchCV(flow(), grid, cv=3).fit(X, progress=False) for _ in range(2))
    assert one.best_params_ == {"lr": 5e-3}
    assert (one.cv_results_["mean_test_score"] == two.cv_results_["mean_test_score"]).all()
    folds = cross_val_score(one.best_estimator_, X, cv=3, params={"progress": False})
    assert folds.mean() == one.best_score_
    assert "GridSearchCV" in one._repr_html_()


@pytest.mark.slow
def test_folds_with_labels_split_them_along():
    params = {"progress": False}
    told = cross_val_score(flow(), X, LABEL, cv=3, params=params)
    untold = cross_val_score(flow(), X, cv=3, params=params)
    assert told.mean() > untold.mean()


def test_clones_know_settings_alone_and_fitted_is_known():
    model = GaussianFit().fit(pd.DataFrame(X, columns=["a", "b"]))
    check_is_fitted(model)
    assert (model.n_features_in_, list(model.feature_names_in_)) == (2, ["a", "b"])
    copy = clone(model)
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    assert not hasattr(copy, "n_features_in_")
    own = flow(net=torch.nn.Linear(2, 2))
    assert clone(own).net is not own.net


# --- scikit-learn's own checks


class WithoutY(GaussianFit):
    """What the checks say of a density once the labels that they pass are left out."""

    def fit(self, x1, y=None, **options):
        return super().fit(x1, **options)

    def score(self, x, y=None, **options):
        return super().score(x, **options)


# Why a check of scikit-learn fails, for all methods.
REASONS = {
    "check_no_attributes_set_in_init": "state, given, shapes and about are there before a fit, and empty",
    "check_dont_overwrite_parameters": "they are public, and set by fit",
    "check_do_not_raise_errors_in_init_or_set_params": "settings are refused at once, not at fit",
    "check_dtype_object": "numbers in arrays of objects are refused",
    "check_complex_data": "complex data are refused in other words",
    "check_estimators_empty_data_messages": "so are data without columns",
    "check_n_features_in_after_fitting": "and rows with other columns",
    "check_fit2d_1sample": "a single row is refused in other words",
    "check_fit1d": "(N,) is N rows of one number",
}
OF_PREDICTIONS = {
    "check_fit_score_takes_y": "roles have names of their own",
    "check_estimators_unfitted": "our error for it is InvalidInputError, a ValueError",
    "check_estimators_pickle": "predict gives distributions, which are no arrays to compare",
    "check_methods_sample_order_invariance": "likewise",
    "check_methods_subset_invariance": "likewise",
    "check_fit_idempotent": "likewise",
    "check_fit2d_predict1d": "one number for a row is refused in other words",
    "check_requires_y_none": "a missing y is refused in other words",
}


def why_not(method):
    """Check -> why it fails, of those that do."""
    return {**REASONS, **OF_PREDICTIONS} if isinstance(method, ExactGP) else REASONS


with warnings.catch_warnings():  # methods are no BaseEstimator, of which it warns
    warnings.simplefilter("ignore")
    of_scikit_learn = parametrize_with_checks(
        [WithoutY(), ExactGP(steps=2)], expected_failed_checks=why_not, xfail_strict=True
    )


@pytest.mark.filterwarnings("ignore")
@of_scikit_learn
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_tags_say_what_it_is():
    tags = flow().__sklearn_tags__()
    assert tags.estimator_type == "density_estimator"
    assert not tags.target_tags.required
    assert ExactGP().__sklearn_tags__().target_tags.required
