"""A chat's widgets: the conversation, its questions, the sidebar, and how its answers are made."""

from app.chat.views.conversation import COLUMN_PX, SCROLL_BAR_PX, ChatView
from app.chat.views.files import ChatFiles
from app.chat.views.find_bar import FindBar
from app.chat.views.settings import ChatSettings
from app.chat.views.settings_bar import SettingsBar
from app.chat.views.sidebar import Sidebar

__all__ = ["COLUMN_PX", "SCROLL_BAR_PX", "ChatFiles", "ChatSettings", "ChatView", "FindBar", "SettingsBar", "Sidebar"]
