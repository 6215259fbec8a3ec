"""The two buttons at the foot of a dialog."""

from PySide6.QtWidgets import QDialog, QDialogButtonBox


def ok_and_cancel(dialog: QDialog) -> QDialogButtonBox:
    """OK and Cancel, in the style sheet's roles; they accept and reject `dialog`."""
    ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
    buttons = QDialogButtonBox(ok | cancel)
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    buttons.button(ok).setProperty("role", "wide")
    buttons.button(cancel).setProperty("role", "outline")
    return buttons
