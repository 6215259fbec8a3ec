"""The models' window as the engine fills it: known pairs, and what is installed on this machine."""

from app.models.views import FIND, INSTALLED
from app.scenes.stage import Scene, Stage

SEARCH_S = 60.0  # where no hub can be reached, that takes a while to be sure


def _draw_models(stage: Stage) -> None:
    stage.window.models.show()
    window = stage.window.models.models_window
    models = window.models
    stage.until("the pairs", lambda: models.findings is not None and not models.is_searching, SEARCH_S)
    window.list.choose("starter")
    for appearance in ("dark", "light"):
        stage.choose_appearance(appearance)
        stage.save(f"models-find-{appearance}", window)
    window.tabs.choose(INSTALLED)
    stage.until("what is installed", lambda: bool(models.stock.models), SEARCH_S)
    window.list.choose(window.list.entries[0].title)
    stage.save("models-installed-light", window)
    window.tabs.choose(FIND)
    window.close()


SCENES = (Scene("models", _draw_models),)
