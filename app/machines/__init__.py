"""Several machines that one model is split over: found, joined, chosen, and offered. Its widgets are in `views`."""

from app.machines.lines import Line, LineKind
from app.machines.several import Asked, MachinesViewModel

__all__ = ["Asked", "Line", "LineKind", "MachinesViewModel"]
