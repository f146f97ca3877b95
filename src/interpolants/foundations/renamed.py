"""Renamed public names: old name -> new name, for errors that name the new one and for reading old files."""

from collections.abc import Iterable

QUANTITIES = {
    "denoiser": "noise",  # E[z|x_t]; "denoiser" usually means E[x1|x_t]
    "drift": "mean_rate",  # E[dI/dt|x_t]; the drift of an SDE keeps its name
    "endpoint1": "denoised",  # E[x1|x_t]
}
# Former classes of warnings, without their common ending, by the class that took their place.
_WARNINGS = {
    "DataWarning": (
        "Columns CopiedRows FirstRows LevelSeries RepeatedCases SameSeeds SmallColumns UnendedEpisodes"
    ),
    "OutsideWarning": (
        "BeyondRange Extrapolation FarValues LostBand Misfit OtherUnit SensorCount ShortContext "
        "SparseFrames UnknownPrompt UnlikeTraining UnseenColumn UnusualRecording"
    ),
    "FitWarning": (
        "Collapse Convergence EvenPrecision FewMembers FewSteps HeavyWeights InfiniteSpread "
        "LearntByHeart LinearRival LostTerms NoGradient NothingToGain Sinkhorn SmallResidual "
        "Stalled TimeShift Unsettled Unsolved UntoldNoise"
    ),
    "SettingWarning": (
        "Aliasing Channels EncoderPropagation FewFunctions GrowingErrors NarrowNet RecordingSize "
        "SkewedErrors SparseMesh Undetermined"
    ),
    "AssumptionWarning": "Calendar DatedRows DoubtfulLabels MissingLabel NoCoordinates UntoldGeometry",
    "FileWarning": "Card MissingShard ModelCard SoundFile",
}
RENAMED = QUANTITIES | {
    "DenoiserLoss": "NoiseLoss",
    "denoiser_loss": "noise_loss",
    "DriftLoss": "MeanRateLoss",
    "drift_loss": "mean_rate_loss",
    "noise_quantity": "bounded_quantity",
    "denoise": "ddim",  # the solver; finish="denoise" keeps its name
    "InstanceNoise": "training.InstanceNoise",  # of interpolants.data
    "Law": "Distribution",
    "BaseLaw": "BaseDistribution",
    "TokenLaw": "TokenDistribution",
    "truncated_gumbel_law": "truncated_gumbel_distribution",
    "bridge_fit": "methods.bridge.fitting",  # a module; the class is in settings and fitted
}
RENAMED |= {f"{old}Warning": f"foundations.{new}" for new, olds in _WARNINGS.items() for old in olds.split()}


def renamed_to(name: str, known: Iterable[str]) -> str | None:
    """The new name of a renamed one, if it is among the known names; else None."""
    new = RENAMED.get(name)
    return new if new is not None and new in known else None


def current_quantity(name: str) -> str:
    """The present name of a quantity in a file that an older version may have written."""
    return QUANTITIES.get(name, name)
