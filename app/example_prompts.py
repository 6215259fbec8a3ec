"""The example prompts of the welcome page, read from `resources/prompts/*.md`."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExamplePrompt:
    """A title for the card, the text that is asked, and the temperature that suits it, None for any."""

    title: str
    text: str
    temperature: float | None = None


def prompts_folder() -> Path | None:
    """`resources/prompts` of the checkout, or of the installed engine; the engine is looked up, never imported."""
    candidates = [Path(__file__).resolve().parent.parent / "resources" / "prompts"]
    spec = importlib.util.find_spec("mlx_spec")
    places = (spec.submodule_search_locations or ()) if spec else ()
    candidates += [Path(place) / "resources" / "prompts" for place in places]
    return next((folder for folder in candidates if folder.is_dir()), None)


def read_examples(folder: Path | None, limit: int = 4) -> list[ExamplePrompt]:
    """Up to `limit` prompts in the order of their file names; a file that cannot be read is left out."""
    examples: list[ExamplePrompt] = []
    for path in sorted(folder.glob("*.md")) if folder else ():
        try:
            example = parse_example(path.read_text(encoding="utf-8"), path.stem)
        except (OSError, UnicodeDecodeError):
            continue
        if example.text:
            examples.append(example)
    return examples[:limit]


def parse_example(source: str, stem: str) -> ExamplePrompt:
    """Front matter (`title: …` between two `---` lines) or a first `# heading` names it; else the file does."""
    lines = source.strip().splitlines()
    title, fields = "", {}
    if lines and lines[0].strip() == "---" and "---" in [line.strip() for line in lines[1:]]:
        end = 1 + [line.strip() for line in lines[1:]].index("---")
        fields = dict(line.split(":", 1) for line in lines[1:end] if ":" in line)
        title = (fields.get("title") or fields.get("name") or "").strip().strip("\"'")
        lines = lines[end + 1 :]
    elif lines and lines[0].startswith("# "):
        title = lines.pop(0)[2:].strip()
    title = title or stem.lstrip("0123456789-_").replace("-", " ").capitalize()
    return ExamplePrompt(title, "\n".join(lines).strip(), _number(fields.get("temperature", "")))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
