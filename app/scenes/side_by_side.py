"""Several answers at once: the chats that are answered, and the page of what the engine does for whom."""

from dataclasses import replace

from app.engine.pages.batch.records import Batch, Blocks, OwnRequest, Rows, RunningRequest, WaitingRequest
from app.scenes.chats import QUESTIONS
from app.scenes.stage import ANSWER_S, Scene, Stage

LOW = (1_000, 560)
LONG = 400  # tokens: both are under way while they are drawn
ENOUGH_CHARS = 120
REQUESTS = 3
# The numbers are the scene's own: which step is the newest when a picture is taken is another each time.
STEP = Batch(
    policy="fcfs",
    max_batch=8,
    running=(
        RunningRequest("chatcmpl-1", None, "writing", "normal", 84, 84, 128, Rows(plain=1, accepted=3, rejected=1), 7),
        RunningRequest("chatcmpl-2", None, "writing", "normal", 61, 61, 40, Rows(plain=1), 4),
        RunningRequest("chatcmpl-3", None, "writing", "high", 512, 512, 9, Rows(plain=1, rejected=2), 17),
        RunningRequest("chatcmpl-4f2a9c", None, "reading", "normal", 2051, 832, 0, Rows(read=64), 26),
    ),
    waiting=(
        WaitingRequest("chatcmpl-5", None, "normal", 0, 2190),
        WaitingRequest("chatcmpl-6", None, "low", 1, 2204),
    ),
    blocks=Blocks(total=256, used=54, shared=6, tokens=32),
    tokens_per_second=41.7,
)
TITLES = {
    "chatcmpl-1": QUESTIONS[2],
    "chatcmpl-2": QUESTIONS[1],
    "chatcmpl-3": "Which of the minutes of the garden club mention the pond, and what was decided about it each time?",
    "chatcmpl-5": "Minutes of May",
    "chatcmpl-6": "Minutes of June",
}


def _draw_sidebar(stage: Stage) -> None:
    """Two chats that are answered, and one that was answered meanwhile."""
    window = stage.window
    stage.ask(QUESTIONS[0])
    read = window.chat.chat
    for text in QUESTIONS[1:]:
        window.chat.start_over()
        window.chat.settings = replace(window.chat.settings, max_tokens=LONG)
        window.ask(text)
    assert read is not None
    window.chat.activity.ended(read.id)
    (first,) = (one.chat for one in window.chat.sessions.all[1:])
    assert first is not None
    window.chat.open_chat(first.id)
    stage.until("some words", lambda: len(window.chat.conversation.turns[-1].answer.text) > ENOUGH_CHARS, ANSWER_S)
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        stage.save(f"side-by-side-{appearance}", from_top=False)
    window.chat.sessions.stop()
    window.chat.activity.opened(read.id)


def _draw_requests(stage: Stage) -> None:
    stage.ask(QUESTIONS[2])
    window = stage.window
    window.bar.panel.setChecked(True)
    window.panel.switch.choose(REQUESTS)
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        _show_step(stage, STEP)
        stage.save(f"requests-{appearance}")
    window.bar.sidebar.setChecked(False)
    window.resize(*LOW)
    _show_step(stage, STEP)
    stage.save("requests-small-dark")
    _show_step(stage, Batch(max_batch=8, blocks=Blocks(total=256), tokens_per_second=0.0))
    stage.save("requests-empty-dark")
    window.bar.sidebar.setChecked(True)
    window.panel.switch.choose(0)


def _show_step(stage: Stage, step: Batch) -> None:
    """Show this step, and none that the engine would tell of meanwhile."""
    requests = stage.window.requests.requests
    stage.settle()
    requests.watch(False)
    stage.settle()
    requests.is_unknown = False
    requests.show(step, [OwnRequest(name, title, lambda: None) for name, title in TITLES.items()])


SCENES = (
    Scene("side-by-side", _draw_sidebar),
    Scene("requests", _draw_requests),
)
