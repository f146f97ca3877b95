# Written by docs/methods.py from __init__.py and the cards.
from interpolants.nets.build import build_net as build_net
from interpolants.nets.build import choose_net as choose_net
from interpolants.nets.build import named_net as named_net
from interpolants.nets.critical import critical_ as critical_
from interpolants.nets.embeddings import ConditionEmbedding as ConditionEmbedding
from interpolants.nets.embeddings import ConditionKinds as ConditionKinds
from interpolants.nets.embeddings import drop_condition as drop_condition
from interpolants.nets.embeddings import FieldCondition as FieldCondition
from interpolants.nets.embeddings import FourierTime as FourierTime
from interpolants.nets.embeddings import null_condition as null_condition
from interpolants.nets.image_transformer import ImageTransformer as ImageTransformer
from interpolants.nets.label_net import LabelNet as LabelNet
from interpolants.nets.mlp import MLP as MLP
from interpolants.nets.mlp_unet import MLPUNet as MLPUNet
from interpolants.nets.net import Net as Net
from interpolants.nets.potential import Potential as Potential
from interpolants.nets.transformer import TokenTransformer as TokenTransformer
from interpolants.nets.unet import Features as Features
from interpolants.nets.unet import UNet as UNet

__all__ = ['ConditionEmbedding', 'ConditionKinds', 'Features', 'FieldCondition', 'FourierTime', 'LabelNet', 'MLP', 'Net', 'Potential', 'TokenTransformer', 'UNet', 'build_net', 'choose_net', 'critical_', 'drop_condition', 'named_net', 'null_condition']
