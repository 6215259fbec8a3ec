"""The first page."""

from app.first_run.views.page import FirstPage

__all__ = ["FirstPage"]
