"""Text that people wrote and every Python has: the prose of its reference documentation.

python examples/demo/pages.py runs/pages.jsonl        # the training pages, one {"text": ...} a line
"""

from __future__ import annotations

import json
import pydoc_data.topics
import re
import sys
from pathlib import Path


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a documentation page, hard line breaks taken out, without code and tables."""
    return [
        " ".join(line.strip() for line in paragraph.splitlines())
        for paragraph in re.split(r"\n\s*\n", text)
        if re.match(r"\s*[A-Z]", paragraph) and re.search(r"[.!?:]\s*$", paragraph) and "+--" not in paragraph
    ]


def pages() -> tuple[list[str], list[str]]:
    """Training and held-out texts: every fourth paragraph of each page is held out."""
    train, held_out, seen = [], [], set()
    for _, text in sorted(pydoc_data.topics.topics.items()):
        # Some paragraphs stand on several pages: a held-out one must not be trained on.
        new = [paragraph for paragraph in paragraphs(text) if paragraph not in seen]
        seen.update(new)
        if len(new) >= 4:
            train.append("\n".join(paragraph for i, paragraph in enumerate(new) if i % 4))
            held_out.append("\n".join(new[::4]))
    return train, held_out


if __name__ == "__main__":
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(json.dumps({"text": text}) + "\n" for text in pages()[0]), encoding="utf-8")
    print(f"{output}: {len(pages()[0])} pages")
