"""The panel beside the conversation, and the race."""

from app.speculation.views.charts.picture import save_picture
from app.speculation.views.panel import TracePanel
from app.speculation.views.race_window import RaceWindow

__all__ = ["RaceWindow", "TracePanel", "save_picture"]
