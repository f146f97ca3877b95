"""Networks: no loss and no training, only ``f(x, t, cond)``."""

from typing import TYPE_CHECKING

from interpolants.foundations.cards import carded
from interpolants.nets.build import build_net, choose_net, named_net
from interpolants.nets.critical import critical_
from interpolants.nets.embeddings import (
    ConditionEmbedding,
    ConditionKinds,
    FieldCondition,
    FourierTime,
    drop_condition,
    null_condition,
)
from interpolants.nets.label_net import LabelNet
from interpolants.nets.mlp import MLP
from interpolants.nets.net import Net
from interpolants.nets.potential import Potential
from interpolants.nets.transformer import TokenTransformer
from interpolants.nets.unet import Features, UNet

if not TYPE_CHECKING:
    __getattr__ = carded(__name__)  # what has a card is public without an edit here

__all__ = [
    "MLP",
    "ConditionEmbedding",
    "ConditionKinds",
    "Features",
    "FieldCondition",
    "FourierTime",
    "LabelNet",
    "Net",
    "Potential",
    "TokenTransformer",
    "UNet",
    "build_net",
    "choose_net",
    "critical_",
    "drop_condition",
    "named_net",
    "null_condition",
]
