"""Chats that last: the sidebar, a search, alternatives, settings, the command list, larger text, and a problem."""

from app.chat.views import ChatSettings
from app.engine.problem import Problem
from app.scenes.stage import Scene, Stage
from app.window.command_list import CommandList
from app.window.preferences import Preferences

NINE_BY_SIX = (900, 600)
QUESTIONS = (
    "Name three rivers in Europe.",
    "What is a good breakfast before a long walk?",
    "Write a sentence about the sea.",
)


def _fill(stage: Stage) -> None:
    for text in QUESTIONS:
        stage.window.chat.start_over()
        stage.ask(text)


def _draw_sidebar(stage: Stage) -> None:
    _fill(stage)
    window = stage.window
    stage.ask("And another one, shorter.")
    window.bar.use_seed(stage.seed + 1)
    window.chat.ask_again()
    stage.wait_for_answer()
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        stage.save(f"sidebar-{appearance}", from_top=False)
    stage.choose_appearance("light")
    window.sidebar.search.setText("river")
    stage.settle()
    stage.save("search-light")
    window.sidebar.search.clear()
    window.find_bar.begin("the")
    window.find_bar.step(1)
    stage.save("find-light", from_top=False)
    window.find_bar.end()
    window.resize(*NINE_BY_SIX)
    stage.save("900x600-light", from_top=False)


def _draw_large(stage: Stage) -> None:
    stage.ask(QUESTIONS[0])
    stage.window.theme.set_scale(1.5)
    stage.save("large-text-light")
    stage.choose_appearance("dark")
    stage.window.theme.set_high(True)
    stage.save("large-text-high-contrast-dark")
    stage.window.theme.set_high(False)
    stage.window.theme.set_scale(1.0)


def _draw_dialogs(stage: Stage) -> None:
    window = stage.window
    settings = ChatSettings(window.chat.settings, window.chat.store.presets, window.theme.palette, window)
    settings.show()
    stage.save("chat-settings-light", settings)
    settings.close()
    preferences = Preferences(window.theme, window.memory, window.engine, window.models.loaded, window)
    preferences.show()
    stage.save("settings-light", preferences)
    preferences.close()
    commands = CommandList(window.menus.commands(), window.theme.palette, window)
    commands.show()
    commands.field.setText("chat")
    stage.save("commands-light", commands)
    commands.close()


def _draw_problem(stage: Stage) -> None:
    kept = "What arrived of the answer is kept."
    details = "signal 9\nlibc++abi: terminating: [METAL] Command buffer execution failed: Insufficient Memory"
    problem = Problem("The engine stopped and is running again.", kept, details, "retry")
    stage.window.banner.show_problem(problem)
    stage.window.banner.unfold()
    stage.save("problem-light")
    stage.window.banner.clear()


SCENES = (
    Scene("chats", _draw_sidebar),
    Scene("large", _draw_large),
    Scene("dialogs", _draw_dialogs),
    Scene("problem", _draw_problem),
)
