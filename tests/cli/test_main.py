"""What every command has in common: its version, its interrupts and its pipes."""

import subprocess
import sys

import pytest

from secateur import __version__
from secateur.cli.main import main


def test_a_run_s_version_is_ours(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"secateur {__version__}\n"


def test_a_reader_that_has_seen_enough_is_no_error():
    program = f"import sys; from secateur.cli.main import main; sys.exit(main({['run', '--help']!r}))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(timeout=120) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt(*arguments)

    monkeypatch.setattr("secateur.cli.doctor.doctor", interrupted)
    assert main(["doctor"]) == 130
    assert main(["doctor", "go on like that"]) == 130
    assert capsys.readouterr().err.splitlines() == [
        "secateur: interrupted; the same command goes on from the last epoch",
        "secateur: interrupted; go on like that",
    ]
