"""The open chat and the list of chats, as plain state and signals. Its widgets are in `views`."""

from app.chat.activity import ChatActivity
from app.chat.list import ChatListViewModel
from app.chat.shown import ChatViewModel
from app.chat.steering import SteeringViewModel

__all__ = ["ChatActivity", "ChatListViewModel", "ChatViewModel", "SteeringViewModel"]
