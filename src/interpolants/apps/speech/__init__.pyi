# Written by docs/methods.py from __init__.py and the cards.
from interpolants.apps.speech.classical_restoration import DelayedPrediction as DelayedPrediction
from interpolants.apps.speech.classical_restoration import SpectralSubtraction as SpectralSubtraction
from interpolants.apps.speech.degradations import AdditiveNoise as AdditiveNoise
from interpolants.apps.speech.degradations import Reverberation as Reverberation
from interpolants.apps.speech.prompts import recorded_prompts as recorded_prompts
from interpolants.apps.speech.speech_enhancement import SpeechEnhancement as SpeechEnhancement
from interpolants.apps.speech.speech_questions import SpeechQuality as SpeechQuality
from interpolants.apps.speech.synthetic_speech import harmonic_signals as harmonic_signals

__all__ = []
