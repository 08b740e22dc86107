"""Write docs/sweeps.md from the headers of the files in sweeps/."""

from pathlib import Path

from secateur.pipeline.sweep_files import page, sweep_files

if __name__ == "__main__":
    (Path(__file__).parent / "sweeps.md").write_text(page(sweep_files()), encoding="utf-8")
