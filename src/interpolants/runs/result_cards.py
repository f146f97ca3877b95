"""Model cards of a run: what its data were, and what its questions found, beside each model."""

from collections.abc import Mapping
from pathlib import Path

from interpolants.foundations.storage import README, write_text
from interpolants.framework.answered import Answered
from interpolants.framework.method import MODEL, Method
from interpolants.framework.model_card import card_to_keep, model_card
from interpolants.runs.data_facts import kept_data
from interpolants.runs.values import Value


def data_names(values: Mapping[str, Value]) -> list[str]:
    """Names of the data of a cell, each once."""
    return list(dict.fromkeys(value.source.name for value in values.values() if value.source.name))


def keep_results(folder: Path, method: Method, found: Answered) -> None:
    """Write the card of a cell's model anew, with its scores; one that a user edited is kept, with a warning.

    Args:
        folder: The cell's folder.
        method: Its fitted method.
        found: What its questions found.
    """
    place, facts = folder / MODEL, kept_data(folder) or {"roles": ()}
    names = list(dict.fromkeys(role.name for role in facts["roles"] if role.name))
    write_text(place / README, card_to_keep(place, model_card(method, datasets=names, scores=found.scores)))
