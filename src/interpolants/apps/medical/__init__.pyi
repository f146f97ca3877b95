# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.medical.classical_prediction import ClassicalPrediction as ClassicalPrediction
from interpolants.apps.medical.classical_restoration import ClassicalRestoration as ClassicalRestoration
from interpolants.apps.medical.data.scan_slices import load_scan_slices as load_scan_slices
from interpolants.apps.medical.prediction_questions import ContrastTranslation as ContrastTranslation
from interpolants.apps.medical.prediction_questions import DiffusionClassification as DiffusionClassification
from interpolants.apps.medical.prediction_questions import DisplacementQuality as DisplacementQuality
from interpolants.apps.medical.prediction_questions import TissueSegmentation as TissueSegmentation
from interpolants.apps.medical.restoration_questions import anomaly_map as anomaly_map
from interpolants.apps.medical.restoration_questions import image_restoration as image_restoration

__all__ = []
