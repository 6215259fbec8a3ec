"""What is seen of several machines."""

from app.machines.views.dialog import MachinesDialog

__all__ = ["MachinesDialog"]
