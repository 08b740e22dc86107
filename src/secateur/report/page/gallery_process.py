"""The gallery, made by a second process while the first one draws.

Opening a data set loads torch, which takes as long as all figures together. A process of its own does both at once,
and the report itself never needs torch.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from secateur.report.page.gallery import chosen_runs, gallery_data

COMMAND = (sys.executable, "-P", "-m", "secateur.report.page.gallery_process")
Gallery = dict[str, Any]


def begin_gallery(payload: Mapping[str, Any]) -> Callable[[], Gallery]:
    """Begin with the gallery of a report; what is returned waits for it.

    A process that has torch already, or has no mask to show, makes it when it is asked.

    Args:
        payload: of the report; its figures are not looked at.
    """
    if "torch" in sys.modules or not chosen_runs(payload):
        return lambda: gallery_data(payload)
    text = json.dumps({**payload, "figures": []})
    pool = ThreadPoolExecutor(1)
    made = pool.submit(_in_a_process, text)
    pool.shutdown(wait=False)
    return lambda: made.result() or gallery_data(payload)


def _in_a_process(text: str) -> Gallery | None:
    """Return the gallery; None when the process could not make it, and this one has to (and to say why)."""
    try:
        done = subprocess.run(COMMAND, input=text, capture_output=True, text=True, encoding="utf-8", check=True)
        gallery: Gallery = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return gallery


def main() -> None:
    """Read a payload from standard input and write its gallery to standard output, both as JSON."""
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(json.dumps(gallery_data(json.load(sys.stdin))))


if __name__ == "__main__":
    main()
