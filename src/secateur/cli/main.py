"""The one program: ``secateur COMMAND ...``."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from secateur import __version__

USAGE = """\
usage: secateur COMMAND [ARGUMENTS]

  run [OVERRIDES]     prune a data set, retrain, and say whether it paid   secateur run score=tdds pruning_ratio=0.5
                      -m sweeps over comma-separated values                secateur run -m ratio=r30,r50 seed=0,1,2
                      sweeps=PAPER/TABLE runs a sweep file                 secateur run sweeps=demo/digits
  cost [OVERRIDES]    what that would cost, before it runs                 secateur cost score=tdds pruning_ratio=0.5
  sweep ACTION DIR    status, submit or resume of many runs                secateur sweep status outputs/sweeps/demo
  report PATH...      tables and figures from finished runs                secateur report outputs/runs/demo
  verify RUN_DIR      check a finished run, and run it again               secateur verify outputs/runs/demo/KEY
  import FILE         published masks and scores as ours                   secateur import FILE --format F --data D
  export RUN_DIR      a run's mask or scores as a release's file           secateur export RUN_DIR --format F --output O
  dashboard           a W&B workspace over the runs logged there           secateur dashboard --entity TEAM
  doctor              what works on this machine

secateur COMMAND --help says more. Version """

# Imported when called: `secateur --help` must not wait for torch.
COMMANDS = {
    "run": "secateur.cli.run:run",
    "sweep": "secateur.cli.sweep:sweep",
    "cost": "secateur.cli.cost:cost",
    "report": "secateur.cli.report:report",
    "verify": "secateur.cli.verify:verify",
    "import": "secateur.cli.import_:import_",
    "dashboard": "secateur.cli.dashboard:dashboard",
    "export": "secateur.cli.export:export",
    "doctor": "secateur.cli.doctor:doctor",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Dispatch to a command.

    Returns:
        0; 1 when a run failed; 2 for bad input; 130 when interrupted; 141, as of a death by SIGPIPE, when nobody
        reads the output any more.
    """
    try:
        code = _dispatch(*(list(sys.argv[1:] if arguments is None else arguments) or ["--help"]))
        sys.stdout.flush()  # here: what is still buffered may be what a closed pipe refuses
    except KeyboardInterrupt as error:
        if int(os.environ.get("RANK") or 0) == 0:
            advice = str(error) or "the same command goes on from the last epoch"  # of a sweep it names the folder
            sys.stderr.write(f"secateur: interrupted; {advice}\n")
        return 130
    except BrokenPipeError:  # the reader, `| head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or flushing at the exit would fail again
        return 141
    return code


def _dispatch(command: str, *rest: str) -> int:
    if command in ("-h", "--help", "help"):
        sys.stdout.write(f"{USAGE}{__version__}\n")
        return 0
    if command in ("-V", "--version"):
        sys.stdout.write(f"secateur {__version__}\n")
        return 0
    if command not in COMMANDS:
        from secateur.cli.terminal import suggestion

        sys.stderr.write(f"secateur: error: no command {command!r}{suggestion(command, COMMANDS)}\n")
        return 2
    module, _, function = COMMANDS[command].partition(":")
    return int(getattr(import_module(module), function)(list(rest)))
