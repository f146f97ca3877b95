"""Few steps of a trained model, trained on as one map."""
