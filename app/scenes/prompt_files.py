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
        files = stage.window.desk.attachments
        files.add_paths(sorted(folder.iterdir()))
        stage.window.composer.set_text("Who waters the greenhouse, and when?")
        stage.until("the files", lambda: _are_counted(stage) and len(files.files) == 2, 30)
        stage.window.banner.unfold()
        for appearance in ("light", "dark"):
            stage.wear(appearance)
            stage.save(f"files-{appearance}")
        files.clear()


def _draw_form(stage: Stage) -> None:
    desk, prompts = stage.window.desk, prompts_folder()
    assert prompts is not None
    prompt = read_prompt(prompts / "7-translate.prompt.md")
    for appearance in ("light", "dark"):
        stage.wear(appearance)
        desk.open_form([prompt])
        if appearance == "light":
            desk.dialog.fill({"text": _MAIL})
        stage.save(f"form-{appearance}", desk.dialog)
        desk.dialog.reject()


def _draw_queue(stage: Stage) -> None:
    desk, prompts = stage.window.desk, prompts_folder()
    assert prompts is not None
    names = ("3-list", "4-code", "5-rewrite", "6-extract", "8-summarise")
    chosen = [read_prompt(prompts / f"{name}.prompt.md") for name in names]
    desk.show_queue()
    desk.queue.add(chosen, {"text": _NOTES, "sentences": "3", "reader": "Jonas"})
    stage.until("two answers", lambda: desk.queue.num_done >= 2, ANSWER_S)
    stage.save("queue-running-light", desk.queue_window)
    stage.until("the queue", lambda: not desk.queue.is_running, ANSWER_S)
    stage.wear("dark")
    stage.save("queue-dark", desk.queue_window)
    desk.queue.clear()
    desk.queue_window.close()


def _draw_too_long(stage: Stage) -> None:
    desk, composer = stage.window.desk, stage.window.composer
    desk.attachments.add_paste(_NOTES * 130)
    composer.set_text("Sum it up.")
    stage.until("the count", lambda: _are_counted(stage) and composer.meter.label.text().endswith("over"), 30)
    composer.submit()
    stage.until("the question", lambda: desk.dialog is not None, 30)
    stage.save("too-long-light")
    stage.save("too-long-question-light", desk.dialog)
    desk.dialog.reject()
    desk.context.show_prompt()
    stage.until("the prompt", lambda: desk.dialog is not None, 30)
    stage.save("prompt-light", desk.dialog)
    desk.dialog.reject()
    desk.attachments.clear()


def _are_counted(stage: Stage) -> bool:
    files = stage.window.desk.attachments
    return not files.is_reading and all(file.num_tokens is not None for file in files.files)


SCENES = (
    Scene("files", _draw_chips),
    Scene("form", _draw_form),
    Scene("queue", _draw_queue),
    Scene("too-long", _draw_too_long),
)
