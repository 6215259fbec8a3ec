"""How an answer was speculated: its rounds, what they add up to, a replay and a race. Its widgets are in `views`."""

from app.speculation.export import rounds_to_csv, rounds_to_json
from app.speculation.race import RaceViewModel
from app.speculation.requests import RequestsViewModel
from app.speculation.trace import TraceViewModel
from app.speculation.verdict import Verdict

__all__ = ["RaceViewModel", "RequestsViewModel", "TraceViewModel", "Verdict", "rounds_to_csv", "rounds_to_json"]
