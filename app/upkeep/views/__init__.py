"""What is seen of newer versions."""

from app.upkeep.views.consent import UpdateConsent
from app.upkeep.views.news import NewsDialog
from app.upkeep.views.notice import VersionNotice

__all__ = ["NewsDialog", "UpdateConsent", "VersionNotice"]
