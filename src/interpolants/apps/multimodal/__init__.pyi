# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.multimodal.data.emoji import load_emoji as load_emoji
from interpolants.apps.multimodal.information_chain import InformationChain as InformationChain
from interpolants.apps.multimodal.linked_gaussian import LinkedGaussian as LinkedGaussian
from interpolants.apps.multimodal.linked_questions import LinkedImages as LinkedImages
from interpolants.apps.multimodal.linked_questions import LinkedLabels as LinkedLabels
from interpolants.apps.multimodal.masked_patches import load_masked_patches as load_masked_patches
from interpolants.apps.multimodal.multimodal import MultimodalDiffusion as MultimodalDiffusion
from interpolants.apps.multimodal.separate_models import SeparateModels as SeparateModels

__all__ = []
