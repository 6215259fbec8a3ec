"""The application's style sheet, made from a palette."""

import re
from string import Template

from app.look.theme import Palette
from app.look.typography import BODY_PX, SMALL_PX, scaled

_FONT_SIZE = re.compile(r"font-size: (\d+)px")
_SHEET = Template("""
QWidget { color: $text; font-size: ${body}px; }
QMainWindow, QDialog, QWidget#page, QScrollArea, QWidget#column { background: $window; border: none; }
QToolTip { background: $raised; color: $text; border: 1px solid $border; padding: 5px 8px; font-size: ${small}px; }
QLabel[role="muted"], QPushButton[role="chip"] { color: $muted; font-size: ${small}px; }
QLabel[role="title"] { font-size: 24px; font-weight: 600; }
QLabel[role="section"] { font-size: 13px; font-weight: 600; }
QLabel[role="figure"] { font-size: 13px; font-weight: 600; }
QLabel[role="verdict"] { font-size: 22px; font-weight: 600; color: $accent; }
QLabel#lossyMark { color: $danger; border: 1px solid $danger; border-radius: 7px; padding: 0 7px;
  font-size: ${small}px; font-weight: 600; }
QLabel[role="name"] { font-size: 13px; font-weight: 600; }

QFrame#topBar, QFrame#footer { background: $window; border: none; }
QFrame#topBar { border-bottom: 1px solid $border; }
QFrame#sidebar { background: $sidebar; border: none; border-right: 1px solid $border; }
QFrame#sidebar QListWidget { background: transparent; border: none; outline: 0; font-size: 13px; }
QFrame#undoBar { background: $raised; border: none; border-top: 1px solid $border; }
QFrame#undoBar QLabel { font-size: ${small}px; }
QFrame#reasoning { background: transparent; border: none; border-left: 2px solid $border; }
QPushButton[role="fold"] { color: $muted; text-align: left; padding: 2px 0; font-size: ${small}px; }
QPushButton[role="tiny"] { padding: 0; border-radius: 5px; }
QPlainTextEdit#editor, QPlainTextEdit#systemPrompt { background: $surface; border: 1px solid $border;
  border-radius: 10px; padding: 8px; }
QPlainTextEdit#editor:focus, QPlainTextEdit#systemPrompt:focus { border-color: $accent; }
QLabel[role="chatTitle"] { font-size: 13px; font-weight: 600; }
QFrame#footer { border-top: 1px solid $border; }
QFrame#tracePanel { background: $window; border: none; border-left: 1px solid $border; }
QFrame#separator { background: $border; border: none; max-height: 1px; min-height: 1px; }

QPushButton { background: transparent; border: 1px solid transparent; border-radius: 7px; padding: 5px 10px;
  font-size: 13px; }
QPushButton:hover { background: $hover; }
QPushButton:focus { border-color: $accent; }
QPushButton:disabled { color: $muted; }
QPushButton[role="outline"] { border-color: $border; background: $surface; }
QPushButton[role="outline"]:hover { background: $hover; }
QPushButton[role="outline"]:focus { border-color: $accent; }
QPushButton[role="chip"] { padding: 4px 12px 4px 2px; text-align: left; }
QPushButton[role="chip"]:hover { background: transparent; color: $text; }
QFrame#codeBlock QPushButton { padding: 4px 8px; text-align: center; }
QPushButton[role="primary"] { background: $accent; color: $on_accent; border-radius: 16px; padding: 0; }
QPushButton[role="primary"]:hover { background: $accent_hover; }
QPushButton[role="primary"]:focus { border: 2px solid $text; }
QPushButton[role="primary"]:disabled { background: $raised; }
QPushButton:checkable:checked { background: $raised; }
QPushButton[role="link"] { color: $accent; padding: 4px 6px; }

QFrame#segments { background: $raised; border: none; border-radius: 8px; }
QFrame#segments QPushButton { color: $muted; padding: 3px 11px; border-radius: 6px; font-size: ${small}px; }
QFrame#tracePanel QPushButton[role="link"] { padding: 4px 0 4px 6px; }
QFrame#tracePanel QFrame#segments QPushButton { padding: 3px 7px; }
QFrame#segments QPushButton:checked { color: $text; background: $surface; border-color: $border; }
QFrame#segments QPushButton:focus { border-color: $accent; }

QPushButton#card { background: $surface; border: 1px solid $border; border-radius: 12px; text-align: left; padding: 0; }
QPushButton#card:hover { border-color: $accent; background: $surface; }
QPushButton#card:focus { border: 2px solid $accent; }

QLabel#question { background: $raised; border-radius: 14px; padding: 9px 15px;
  selection-background-color: $selection; selection-color: $text; }
QTextEdit, QTextBrowser, QPlainTextEdit { background: transparent; border: none;
  selection-background-color: $selection; selection-color: $text; }
QFrame#codeBlock { background: $raised; border: 1px solid $border; border-radius: 10px; }
QFrame#chip { background: $raised; border: 1px solid transparent; border-radius: 8px; }
QScrollArea#chipRow, QWidget#chips { background: transparent; }
QPushButton[role="chipName"] { padding: 2px 4px; text-align: left; font-size: ${small}px; border-radius: 5px; }
QPushButton[role="chipClose"] { padding: 0; border-radius: 5px; }
QPushButton[role="wide"] { background: $accent; color: $on_accent; padding: 6px 18px; font-weight: 600; }
QPushButton[role="wide"]:hover { background: $accent_hover; }
QPushButton[role="wide"]:focus { border: 2px solid $text; }
QPushButton[role="wide"]:disabled { background: $raised; color: $muted; }
QLabel[role="danger"] { color: $danger; font-size: ${small}px; font-weight: 600; }
QLabel#remark { background: $notice; border: 1px solid $notice_border; border-radius: 8px; padding: 8px 12px;
  font-size: 13px; }
QPlainTextEdit#preview, QPlainTextEdit#formText { background: $surface; border: 1px solid $border;
  border-radius: 8px; padding: 6px; font-size: 13px; }
QPlainTextEdit#formText:focus, QPlainTextEdit#preview:focus { border-color: $accent; }
QMessageBox QPushButton { border-color: $border; background: $surface; }
QMessageBox QPushButton:focus { border-color: $accent; }
QMessageBox QLabel#qt_msgbox_label { font-size: 14px; font-weight: 600; min-width: 360px; padding-right: 16px; }
QMessageBox QLabel#qt_msgbox_informativelabel { font-size: 13px; color: $muted; padding-right: 16px; }
QListWidget#modelList { background: $surface; border: 1px solid $border; border-radius: 8px; outline: 0; }
QTableView { background: $surface; border: 1px solid $border; border-radius: 8px; font-size: 13px; outline: 0;
  selection-background-color: $selection; selection-color: $text; }
QTableView::item { padding: 0 5px; border-bottom: 1px solid $border; }
QHeaderView, QHeaderView::section { background: $surface; color: $muted; border: none; font-size: ${small}px; }
QHeaderView::section { padding: 6px 8px; border-bottom: 1px solid $border; }
QFrame#composer { background: $surface; border: 1px solid $border; border-radius: 16px; }
QFrame#composer[focused="true"] { border-color: $accent; }
QFrame#composer[dropping="true"] { border: 2px dashed $accent; }
QFrame#composer QPlainTextEdit { font-size: ${body}px; padding: 0; }

QFrame#banner { background: $notice; border: 1px solid $notice_border; border-radius: 10px; margin-top: 12px; }
QLabel[role="advice"] { font-size: 13px; }
QFrame#banner QPlainTextEdit { border-top: 1px solid $notice_border; padding: 6px 28px 0 28px; }

QDoubleSpinBox, QSpinBox, QLineEdit, QComboBox { background: $surface; border: 1px solid $border; border-radius: 7px;
  padding: 3px 8px; font-size: 13px; selection-background-color: $selection; selection-color: $text; min-height: 20px; }
QDoubleSpinBox, QSpinBox { padding: 2px 4px; }
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0; height: 0; border: none; }
QAbstractSpinBox QLineEdit { background: transparent; border: none; padding: 0 4px; min-height: 0; }
QAbstractSpinBox:focus, QLineEdit:focus, QComboBox:focus { border-color: $accent; }
QCheckBox, QRadioButton { font-size: 13px; spacing: 8px; }
QCheckBox::indicator { width: 14px; height: 14px; border: 1px solid $muted; border-radius: 4px; background: $surface; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; }
QRadioButton::indicator { width: 14px; height: 14px; border: 1px solid $muted; border-radius: 8px;
  background: $surface; }
QRadioButton::indicator:checked { width: 6px; height: 6px; border: 5px solid $accent; background: $on_accent; }
QCheckBox:focus, QRadioButton:focus { color: $accent; }
QCheckBox:disabled, QRadioButton:disabled { color: $muted; }
QDialogButtonBox { button-layout: 1; }
QSlider::groove:horizontal { background: $border; height: 4px; border-radius: 2px; }
QSlider::sub-page:horizontal { background: $accent; height: 4px; border-radius: 2px; }
QSlider::handle:horizontal { background: $surface; border: 1px solid $muted; width: 12px; height: 12px;
  margin: -5px 0; border-radius: 7px; }
QSlider::handle:horizontal:focus { border: 2px solid $accent; }
QSlider::sub-page:horizontal:disabled { background: $border; }
QComboBox::drop-down { border: none; width: 20px; }
QComboBox::down-arrow { image: none; width: 0; }
QComboBoxPrivateContainer, QComboBoxPrivateScroller { background: $surface; }
QComboBox QAbstractItemView { background: $surface; border: 1px solid $border; padding: 4px; outline: 0;
  selection-background-color: $raised; selection-color: $text; }

QDialog QLabel, QCheckBox, QRadioButton { font-size: 13px; }
QDialog QLabel[role="muted"] { font-size: ${small}px; }
QLabel[role="wrong"] { color: $danger; }
QFrame#findBar { background: $surface; border: 1px solid $border; border-radius: 10px; margin-top: 8px; }
QFrame#findBar QLineEdit { background: transparent; border: none; }
QDialog#commandList { background: $surface; border: 1px solid $border; border-radius: 12px; }
QDialog#commandList QListWidget { background: transparent; border: none; outline: 0; font-size: 13px; }

QMenuBar { background: $window; font-size: 13px; border: none; }
QMenuBar::item { padding: 5px 10px; background: transparent; }
QMenuBar::item:selected { background: $hover; border-radius: 5px; }
QMenu { background: $surface; border: 1px solid $border; padding: 5px; font-size: 13px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 5px; }
QMenu::item:selected { background: $raised; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $border; margin: 5px 8px; }

QGraphicsView { background: transparent; border: none; }
QSplitter::handle { background: transparent; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $border; border-radius: 3px; margin: 2px; min-height: 28px; min-width: 28px; }
QScrollBar::handle:vertical:disabled { background: transparent; }
QScrollBar::handle:hover { background: $muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QProgressBar { background: $raised; border: none; border-radius: 2px; max-height: 4px; min-height: 4px; }
QProgressBar::chunk { background: $accent; border-radius: 2px; }
QFrame#knownPart { background: $selection; border: 1px solid $accent; border-radius: 2px; max-height: 2px;
  min-height: 2px; }
""")


def build_stylesheet(palette: Palette) -> str:
    """Qt style sheet in the colours of `palette`."""
    colours = {name: getattr(palette, name) for name in palette.__slots__}
    sheet = _SHEET.substitute(colours, body=BODY_PX, small=SMALL_PX)
    return _FONT_SIZE.sub(lambda found: f"font-size: {scaled(int(found[1]))}px", sheet)
