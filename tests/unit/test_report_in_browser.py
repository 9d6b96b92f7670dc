"""The report in headless Chromium: it renders without a complaint, in both themes, as narrow as a phone, offline."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dft_plugin.evaluation.report.html import render
from tests import results

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
WIDTHS = (320, 360, 768, 1280)
HEIGHT = 900
STATE = {
    "log_history": [{"step": step, "loss": 4 / step, "dft/floor_ratio/novelty": 9 / step} for step in (1, 2, 5, 9)]
}
PROBE = """
const found = [];
onload = () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, root = page.documentElement;
    const paper = () => frame.contentWindow.getComputedStyle(page.body).backgroundColor;
    const papers = {};
    for (const theme of ["auto", "light", "dark"]) {
      page.getElementById("theme-" + theme)?.click();
      papers[theme] = paper();
    }
    page.querySelectorAll("details").forEach(one => one.open = true);
    const texts = [...page.querySelectorAll("svg text")].map(text => text.getBoundingClientRect());
    found.push({
      width: frame.contentWindow.innerWidth, scrolls: root.scrollWidth, height: root.scrollHeight, papers,
      requests: frame.contentWindow.performance.getEntriesByType("resource").map(one => one.name),
      charts: page.querySelectorAll("svg[role=img]").length,
      unseen: texts.filter(box => box.width && (box.left < 0 || box.right > frame.contentWindow.innerWidth)).length,
      shown: page.body.innerText.slice(0, 4000),
    });
  }
  document.body.append(Object.assign(document.createElement("output"), { textContent: JSON.stringify(found) }));
};
"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser is installed (looked for {', '.join(NAMES)})")


def browse(folder: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Opens a page in a browser that has nothing but a profile of its own."""
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--force-device-scale-factor=1",
        "--allow-file-access-from-files", "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
        *options, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=120, check=True)


def complaints(run: subprocess.CompletedProcess[str]) -> list[str]:
    """What pages wrote to the console: errors, and what the content security policy refused."""
    return [line for line in run.stderr.splitlines() if "CONSOLE" in line]


def probe(folder: Path, page: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What the browser found in a page at each width, and what it complained of."""
    report = folder / "report.html"
    report.write_text(page, encoding="utf-8")
    # A window is never narrower than 500 pixels; a frame in it is.
    frames = [
        f'<iframe src="report.html" style="width:{width}px;height:{HEIGHT}px;border:0"></iframe>' for width in WIDTHS
    ]
    outer = folder / "probe.html"
    outer.write_text(f"<!doctype html><body>{''.join(frames)}<script>{PROBE}</script>")
    run = browse(folder, outer, "--window-size=1400,900", "--dump-dom")
    found = re.search(r"<output>(.*)</output>", run.stdout, re.DOTALL)
    assert found, run.stderr
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")), complaints(run)


@pytest.fixture(scope="module")
def page() -> str:
    first, people, again = results.measured()
    named = again.model_copy(update={"name": "<script>alert(1)</script>"})
    long = people.model_copy(update={"name": "a-name-without-any-place-to-break-" * 3})
    return render([first, named, long], STATE)


def test_at_every_width_it_fits_asks_for_nothing_and_complains_of_nothing(tmp_path: Path, page: str) -> None:
    found, complained = probe(tmp_path, page)
    assert complained == []
    assert [one["width"] for one in found] == list(WIDTHS)
    for one in found:
        assert one["scrolls"] <= one["width"], one["width"]
        assert one["unseen"] == 0, one["width"]
        assert one["requests"] == []
        assert one["charts"] > 40
        assert one["height"] > 3 * HEIGHT
        assert "<script>alert(1)</script>" in one["shown"]
        papers = one["papers"]
        assert papers["light"] != papers["dark"]
        assert papers["auto"] in (papers["light"], papers["dark"])


def test_the_probe_sees_requests_complaints_and_what_is_too_wide(tmp_path: Path) -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src http:"
    bad = f"""<head><meta http-equiv="Content-Security-Policy" content="{policy}"></head><body>
        <img src="http://127.0.0.1:59999/x.png"><div style="width:600px">wide</div><script>1</script>"""
    (found, *_), complained = probe(tmp_path, bad)
    assert found["scrolls"] > found["width"]
    assert found["requests"] == ["http://127.0.0.1:59999/x.png"]
    assert complained


@pytest.mark.parametrize(("scheme", "dark"), [("0", True), ("1", False)], ids=["dark", "light"])
def test_it_follows_the_theme_of_the_system_and_is_not_blank(
    tmp_path: Path, page: str, scheme: str, dark: bool
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the screenshot")
    report, shot = tmp_path / "report.html", tmp_path / "shot.png"
    report.write_text(page, encoding="utf-8")
    settings = f"--blink-settings=preferredColorScheme={scheme}"
    run = browse(tmp_path, report, settings, "--window-size=1280,2400", f"--screenshot={shot}")
    assert complaints(run) == []
    pixels = image.open(shot).convert("RGB")
    assert pixels.size == (1280, 2400)
    assert (sum(pixels.getpixel((3, 3))) < 3 * 60) == dark
    # Ink in each sixth of the page, and colours beside it.
    for top in range(0, 2400, 400):
        grey = pixels.crop((0, top, 1280, top + 400)).convert("L")
        low, high = grey.getextrema()
        assert high - low > 100
    assert len(pixels.getcolors(1280 * 2400)) > 100
