"""The conversation: empty, answered, as tokens, in a small window, and where a prompt is known but for its end."""

from dataclasses import replace

from app.engine.protocol import Prefill
from app.scenes.stage import Scene, Stage
from app.store import Answer, Question, Turn, Versions

SMALL = (600, 640)


def _draw_empty(stage: Stage) -> None:
    stage.save("empty-light")


def _draw_answer(stage: Stage) -> None:
    stage.ask_example()
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        stage.window.chat_view.answers[-1].switch.choose(0)
        stage.save(f"chat-{appearance}")
        stage.window.toggle_tokens()
        stage.save(f"tokens-{appearance}")
    stage.window.resize(*SMALL)
    stage.save("small-dark")


def _draw_known_prompt(stage: Stage) -> None:
    """What the engine tells while it reads, and at the end, of a prompt whose beginning it read before.

    The numbers are the scene's own: how much is known, and how long the rest takes, is another on every machine.
    """
    stage.ask_example()
    window = stage.window
    asked = window.chat.conversation.turns[-1].answer
    if asked.finished is not None:
        asked.finished = replace(asked.finished, prompt_tokens=2_051, cached_tokens=2_008)
    window.bar.panel.setChecked(True)
    window.panel.switch.choose(1)
    window.chat.show_rounds(asked)
    coming = Answer(stage.seed, model=asked.model)
    window.chat_view.add_turn(Turn(Question("And in one sentence?", answers=Versions([coming])), coming))
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        window.chat_view.show_prefill(Prefill(2_030, 2_051, 450.0, cached_tokens=2_008))
        stage.save(f"known-prompt-{appearance}", from_top=False)
    window.resize(*SMALL)
    window.chat_view.show_prefill(Prefill(112_640, 131_072, 45_000.0, cached_tokens=98_304))
    stage.save("known-prompt-small-dark", from_top=False)


SCENES = (
    Scene("empty", _draw_empty),
    Scene("answer", _draw_answer),
    Scene("known-prompt", _draw_known_prompt),
)
