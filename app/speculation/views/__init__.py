"""The panel beside the conversation, and the race."""

from app.speculation.views.charts.picture import save_picture
from app.speculation.views.page import Page
from app.speculation.views.panel import TracePanel
from app.speculation.views.race_window import RaceWindow

__all__ = ["Page", "RaceWindow", "TracePanel", "save_picture"]
