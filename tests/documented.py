"""The commands that README.md and docs/ show. Tests run them as they stand, with their placeholders replaced."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
# A command that stands in a sentence. Two words are a name for what a block shows, such as `dvc repro`.
IN_SENTENCE = re.compile(r"([A-Z_]+=\S+ )?(dvc|git|mlflow|pytest|python|unzip) [^<]+")
FEWEST_WORDS = 3


@cache
def commands(document: str) -> tuple[str, ...]:
    """Return the lines of the shell blocks of `document` and the commands in its sentences, each once."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    shell = "".join(content for language, content in blocks.findall(text) if language == "sh")
    lines = re.sub(r"  +#.*", "", re.sub(r"\\\n *", "", shell)).splitlines()
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", blocks.sub("", text))]
    lines += [span for span in spans if IN_SENTENCE.fullmatch(span) and len(span.split()) >= FEWEST_WORDS]
    return tuple(dict.fromkeys(lines))


def line(document: str, beginning: str, replaced: Mapping[str, str] = {}, more: str = "") -> list[str]:
    """Return the arguments of a shell that runs the one command of `document` that begins with `beginning`.

    Each placeholder of the command that is a key of `replaced` becomes its value, and `more` is added at the end.
    """
    found = [command for command in commands(document) if command.startswith(beginning)]
    (command,) = [beginning] if beginning in found else found
    for placeholder, value in replaced.items():
        assert placeholder in command, f"{document}: {command}: {placeholder} is missing"
        command = command.replace(placeholder, value)
    return ["bash", "-euc", command + more]
