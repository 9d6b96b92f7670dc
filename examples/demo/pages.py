"""Text that people wrote and every Python has: the prose of its reference documentation.

python examples/demo/pages.py runs/pages.jsonl        # the training pages, one {"text": ...} a line
"""

from __future__ import annotations

import json
import pydoc_data.topics
import re
import sys
from pathlib import Path


def prose(text: str) -> str:
    """The paragraphs of a documentation page, hard line breaks taken out, without code and tables."""
    paragraphs = re.split(r"\n\s*\n", text)
    kept = [
        " ".join(line.strip() for line in paragraph.splitlines())
        for paragraph in paragraphs
        if re.match(r"\s*[A-Z]", paragraph) and re.search(r"[.!?:]\s*$", paragraph) and "+--" not in paragraph
    ]
    return "\n".join(kept)


def pages() -> tuple[list[str], list[str]]:
    """Training and held-out pages: every fourth topic is held out."""
    texts = [prose(text) for _, text in sorted(pydoc_data.topics.topics.items())]
    texts = [text for text in dict.fromkeys(texts) if len(text) > 400]
    return [text for i, text in enumerate(texts) if i % 4], texts[::4]


if __name__ == "__main__":
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(json.dumps({"text": text}) + "\n" for text in pages()[0]), encoding="utf-8")
    print(f"{output}: {len(pages()[0])} pages")
