"""The form that methods and experiments share: settings, answers, scores, claims, figures as data."""
