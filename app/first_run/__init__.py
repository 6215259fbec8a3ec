"""The first minutes: pairs for this machine, and what speculation brings here. Its widgets are in `views`."""

from app.first_run.advice import AdviceViewModel
from app.first_run.minute import Minute, MinuteBench

__all__ = ["AdviceViewModel", "Minute", "MinuteBench"]
