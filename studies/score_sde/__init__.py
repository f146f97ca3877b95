"""Score-based models with exact scores: predictors, correctors, agreement of samplers, classes and holes."""
