"""The panel beside an answer: its rounds, its speed, its controls; a replay, and a race."""

from app.scenes.stage import Scene, Stage


def _draw_panel(stage: Stage) -> None:
    """Every page in light and dark, with a round marked on both sides."""
    stage.ask_example()
    window = stage.window
    window.bar.panel.setChecked(True)
    window.toggle_tokens()
    window.panel.rounds.lookahead.pointed.emit(min(9, len(window.chat.conversation.turns[-1].answer.rounds) - 1))
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        for index, page in enumerate(window.panel.switch.buttons):
            window.panel.switch.choose(index)
            stage.save(f"panel-{page.text().lower()}-{appearance}")
    window.panel.switch.choose(0)


def _draw_tokens_by_probability(stage: Stage) -> None:
    stage.ask_example()
    window = stage.window
    window.toggle_tokens()
    page = window.chat_view.answers[-1].tokens.parentWidget()
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        page = window.chat_view.answers[-1].tokens.parentWidget()
        page.colouring.choose(1)
        page.ghosts.setChecked(False)
        stage.save(f"tokens-probability-{appearance}")


def _draw_replay(stage: Stage) -> None:
    stage.ask_example()
    window = stage.window
    window.toggle_tokens()
    window.panel.rounds.replay.seek(window.panel.rounds.replay.length // 2)
    stage.save("panel-replay-light")


def _draw_race(stage: Stage) -> None:
    stage.ask_example()
    stage.window.speculation.start_race()
    race = stage.window.speculation.race
    stage.until("the plain side", lambda: race.running != "plain", 300.0)
    tally = race.lanes["speculative"].tally
    stage.until("some of the other side", lambda: tally.num_emitted > 20 or race.verdict, 300.0)
    stage.save("race-running-light", stage.window.speculation.race_window)
    stage.until("the race", lambda: race.verdict is not None, 300.0)
    for appearance in ("light", "dark"):
        stage.choose_appearance(appearance)
        stage.window.speculation.race_window.apply_palette(stage.window.theme.palette)
        stage.save(f"race-{appearance}", stage.window.speculation.race_window)
    stage.window.speculation.race_window.close()


SCENES = (
    Scene("panel", _draw_panel),
    Scene("tokens-probability", _draw_tokens_by_probability),
    Scene("replay", _draw_replay),
    Scene("race", _draw_race),
)
