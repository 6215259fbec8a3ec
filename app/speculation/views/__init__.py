"""The panel beside the conversation, and the race."""

from app.speculation.views.charts.picture import save_picture
from app.speculation.views.page import Page
from app.speculation.views.panel import TracePanel
from app.speculation.views.race_window import RaceWindow
from app.speculation.views.requests import RequestsPage

__all__ = ["Page", "RaceWindow", "RequestsPage", "TracePanel", "save_picture"]
