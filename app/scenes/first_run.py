"""The first page, as the engine fills it for the machine that draws it: before and after the minute's bench."""

from app.scenes.stage import Scene, Stage

ADVICE_S, MINUTE_S = 60.0, 300.0
SMALL = (600, 640)


def _draw_first_run(stage: Stage) -> None:
    window, first = stage.window, stage.window.first_run
    window.resize(1280, 1000)
    first.show()
    stage.until("the advice", lambda: first.advice.suggestions is not None, ADVICE_S)
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        stage.save(f"first-run-{appearance}")
    window.resize(*SMALL)
    stage.save("first-run-small-dark")
    window.resize(1280, 1000)
    first.page.measuring.button.click()
    stage.until("the minute", lambda: not first.bench.is_running, MINUTE_S)
    bar = first.page.verticalScrollBar()
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        stage.settle()
        bar.setValue(bar.maximum())
        stage.save(f"first-run-measured-{appearance}")
    first.page.start_chosen.emit()


SCENES = (Scene("first-run", _draw_first_run),)
