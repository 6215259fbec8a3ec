"""`python check_open_webui.py ADDRESS [CHROMIUM [NAME…]]`: Open WebUI in a real browser, over `serve_script`.

Not part of CI. ADDRESS is Open WebUI's, served without accounts (`WEBUI_AUTH=False`) and with `serve_script` as its
OpenAI address. Needs playwright, and Debian's chromium. Prints a line for each check; code 1 where one fails.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

ADDRESS = sys.argv[1].rstrip("/")
CHROMIUM = sys.argv[2] if len(sys.argv) > 2 else "/usr/bin/chromium"
PATIENCE_MS = 30_000


def begin(page: Page) -> None:
    """A new chat with the scripted model, what greets a first visit closed."""
    page.goto(f"{ADDRESS}/?models=scripted")
    page.locator("#chat-input").wait_for(timeout=PATIENCE_MS)
    for name in ("Okay, Let's Go!", "Close"):
        if (button := page.get_by_role("button", name=name)).count():
            button.first.click()


def ask(page: Page, text: str) -> None:
    """Put in a question, and send it."""
    page.locator("#chat-input").click()
    page.keyboard.insert_text(text)  # of what is typed it makes typographer's quotes
    page.keyboard.press("Enter")


def chat(page: Page) -> None:
    """A chat is answered, and goes on."""
    begin(page)
    ask(page, "hi there")
    expect(page.get_by_text("All is well.")).to_have_count(1, timeout=PATIENCE_MS)
    ask(page, 'Again SCRIPT ["Nothing new.", "Nothing new under the sun."] END')
    expect(page.get_by_text("Nothing new.", exact=True)).to_have_count(1, timeout=PATIENCE_MS)


def thought(page: Page) -> None:
    """What the model thinks is folded, apart from its answer."""
    begin(page)
    ask(page, "think")
    expect(page.get_by_text("All is well.")).to_have_count(1, timeout=PATIENCE_MS)
    expect(page.get_by_text("Thought for").first).to_be_visible(timeout=PATIENCE_MS)


def regenerate(page: Page) -> None:
    """An answer is made again, beside the first."""
    begin(page)
    ask(page, "hi once more")
    expect(page.get_by_text("All is well.")).to_have_count(1, timeout=PATIENCE_MS)
    page.get_by_text("All is well.").hover()
    page.get_by_role("button", name="Regenerate").last.click()
    if (again := page.get_by_text("Try Again")).count():
        again.first.click()
    expect(page.get_by_text("2/2")).to_be_visible(timeout=PATIENCE_MS)


def file(page: Page) -> None:
    """A file goes with a question."""
    begin(page)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "notes.txt")
        path.write_text('The notes. SCRIPT ["It says: the notes."] END')
        page.locator("input[type=file]").first.set_input_files(path)
        expect(page.get_by_text("notes.txt").first).to_be_visible(timeout=PATIENCE_MS)
        page.wait_for_timeout(1500)
        ask(page, "What does it say?")
        expect(page.get_by_text("It says: the notes.")).to_have_count(1, timeout=PATIENCE_MS)


TOOL = """class Tools:
    def weather(self, city: str) -> str:
        \"\"\"The weather of a city.\"\"\"
        return "sun in " + city
"""


def tools(page: Page) -> None:
    """A tool of Open WebUI's own is called, and its result told."""
    begin(page)
    token = page.evaluate("localStorage.token")
    about = {"id": "weather", "name": "Weather", "content": TOOL, "meta": {"description": "Of a city."}}
    headers = {"Authorization": f"Bearer {token}"}
    made = page.request.post(f"{ADDRESS}/api/v1/tools/create", data=about, headers=headers)
    assert made.ok or "already" in made.text(), made.text()
    page.goto(f"{ADDRESS}/?models=scripted&tools=weather")
    page.locator("#chat-input").wait_for(timeout=PATIENCE_MS)
    ask(page, 'Rome? SCRIPT [["weather", {"city": "Rome"}], "It is sunny."] END')
    expect(page.get_by_text("It is sunny.", exact=True)).to_have_count(1, timeout=PATIENCE_MS)
    expect(page.get_by_text("weather").first).to_be_visible(timeout=PATIENCE_MS)


CHECKS: tuple[Callable[[Page], None], ...] = (chat, thought, regenerate, file, tools)


def main() -> int:
    """All of them, a page each; where one fails, a picture of it is kept."""
    failed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for check in [one for one in CHECKS if not sys.argv[3:] or one.__name__ in sys.argv[3:]]:
            page = browser.new_context().new_page()
            page.set_default_timeout(PATIENCE_MS)
            try:
                check(page)
                word = "works"
            except Exception as error:  # noqa: BLE001 - told, and the others are run
                failed += 1
                picture = Path(tempfile.gettempdir(), f"open_webui_{check.__name__}.png")
                page.screenshot(path=picture)
                word = f"failed ({picture}): {error}"
            sys.stdout.write(f"{check.__name__}: {word}\n")
            page.close()
        browser.close()
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
