"""Files and prompts: the composer's chips, what is told of files left out, a form, the queue, a too long prompt."""

import tempfile
from pathlib import Path

from app.prompts import prompts_folder
from app.scenes.stage import ANSWER_S, Scene, Stage
from prompt_files import read_prompt

_NOTES = """Minutes of the garden club, 14 June.
Present: Maria, Sam, Ines and Jonas. The pond leaks again; Sam will look at the liner before Sunday.
The bulbs came: 200 tulips, 80 crocuses. Planting is on the first dry Saturday of October, at half past nine.
Ines asks for somebody to water the greenhouse in August. Jonas offers the second week.
"""
_CODE = "def area(width: float, height: float) -> float:\n    return width * height\n"
_MAIL = "Hi Ines, could you send me the list of tools before Friday? The shed is nearly empty. Thanks, Maria\n"


def _draw_chips(stage: Stage) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "minutes-of-the-garden-club.md").write_text(_NOTES)
        (folder / "area.py").write_text(_CODE)
        (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
        (folder / "empty.txt").touch()
        files = stage.window.prompts.attachments
        files.add_paths(sorted(folder.iterdir()))
        stage.window.composer.set_text("Who waters the greenhouse, and when?")
        stage.until("the files", lambda: _are_counted(stage) and len(files.files) == 2, 30)
        stage.window.banner.unfold()
        for appearance in ("light", "dark"):
            stage.choose_appearance(appearance)
            stage.save(f"files-{appearance}")
        files.clear()


def _draw_form(stage: Stage) -> None:
    prompts, folder = stage.window.prompts, prompts_folder()
    assert folder is not None
    prompt = read_prompt(folder / "7-translate.prompt.md")
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        prompts.open_form([prompt])
        if appearance == "light":
            prompts.dialog.fill({"text": _MAIL})
        stage.save(f"form-{appearance}", prompts.dialog)
        prompts.dialog.reject()


def _draw_queue(stage: Stage) -> None:
    prompts, folder = stage.window.prompts, prompts_folder()
    assert folder is not None
    names = ("3-list", "4-code", "5-rewrite", "6-extract", "8-summarise")
    chosen = [read_prompt(folder / f"{name}.prompt.md") for name in names]
    prompts.show_queue()
    prompts.queue.add(chosen, {"text": _NOTES, "sentences": "3", "reader": "Jonas"})
    stage.until("two answers", lambda: prompts.queue.num_done >= 2, ANSWER_S)
    stage.save("queue-running-light", prompts.queue_window)
    stage.until("the queue", lambda: not prompts.queue.is_running, ANSWER_S)
    stage.choose_appearance("dark")
    stage.save("queue-dark", prompts.queue_window)
    prompts.queue.clear()
    prompts.queue_window.close()


def _draw_too_long(stage: Stage) -> None:
    prompts, composer = stage.window.prompts, stage.window.composer
    prompts.attachments.add_paste(_NOTES * 130)
    composer.set_text("Sum it up.")
    stage.until("the count", lambda: _are_counted(stage) and composer.meter.label.text().endswith("over"), 30)
    composer.submit()
    stage.until("the question", lambda: prompts.dialog is not None, 30)
    stage.save("too-long-light")
    stage.save("too-long-question-light", prompts.dialog)
    prompts.dialog.reject()
    prompts.context.show_prompt()
    stage.until("the prompt", lambda: prompts.dialog is not None, 30)
    stage.save("prompt-light", prompts.dialog)
    prompts.dialog.reject()
    prompts.attachments.clear()


def _are_counted(stage: Stage) -> bool:
    files = stage.window.prompts.attachments
    return not files.is_reading and all(file.num_tokens is not None for file in files.files)


SCENES = (
    Scene("files", _draw_chips),
    Scene("form", _draw_form),
    Scene("queue", _draw_queue),
    Scene("too-long", _draw_too_long),
)
