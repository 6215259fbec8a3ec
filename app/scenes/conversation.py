"""The conversation: empty, answered, as tokens, and in a small window."""

from app.scenes.stage import Scene, Stage

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


SCENES = (Scene("empty", _draw_empty), Scene("answer", _draw_answer))
