"""Newer versions, where somebody agreed to look for them, and reports of accidents. Its widgets are in `views`."""

from app.upkeep.edition import program_version
from app.upkeep.feed import FeedError, Release, Source, envelope, is_newer, read_feed, read_source
from app.upkeep.reports import ReportFolder
from app.upkeep.updates import UpdatesViewModel

__all__ = [
    "FeedError",
    "Release",
    "ReportFolder",
    "Source",
    "UpdatesViewModel",
    "envelope",
    "is_newer",
    "program_version",
    "read_feed",
    "read_source",
]
