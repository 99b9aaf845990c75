"""The `interplay` command (also `kubectl interplay`): parse, delegate, one line per error."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from pathlib import Path

from .manifests import ManifestError, read_manifest, resolve_manifest
from .tables import FORMATS, render

__all__ = ["main"]

EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 1
EXIT_SIGNAL = 128


def _run(args: argparse.Namespace) -> int:
    resolution = resolve_manifest(read_manifest(args.file))

    # These load torch, which a manifest with a mistake in it should not wait for.
    from interplay_runner.stop import Stop, Stopped

    from .local import run_locally
    from .progress import display

    stop = Stop()
    try:
        with stop.listening():
            done = run_locally(resolution, display(), stop, args.output_dir)
    except Stopped:
        print("interplay: interrupted", file=sys.stderr)
        return EXIT_SIGNAL + (stop.signal or 0)
    sys.stdout.write(render(done.results, done.failed, args.output))
    for model, reason in done.failed.items():
        print(f"interplay: {model}: {reason}", file=sys.stderr)
    for line in done.failed_cells:
        print(f"interplay: {line}", file=sys.stderr)
    return EXIT_INCOMPLETE if done.failed or done.failed_cells else 0


def _plan(args: argparse.Namespace) -> int:
    resolution = resolve_manifest(read_manifest(args.file))
    from .forecast import describe

    print(describe(resolution, args.rate))
    return 0


def _results(args: argparse.Namespace) -> int:
    from .remote import read_results

    done = read_results(args.name, args.namespace, args.kubeconfig)
    sys.stdout.write(render(done.results, done.failed, args.output))
    return EXIT_INCOMPLETE if done.failed else 0


def _compare(args: argparse.Namespace) -> int:
    from .compare import compare_columns

    print(compare_columns(args.first, args.second, args.column))
    return 0


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return rate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="interplay", description="Measure vision models, with and without a cluster."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run an Evaluation here, without any cluster")
    run.add_argument("file", type=Path, help="manifest with one Evaluation")
    run.add_argument("-o", "--output", choices=FORMATS, default="table")
    run.add_argument("--output-dir", type=Path, help="keep reports and per-sample records here")
    run.set_defaults(call=_run)

    plan = commands.add_parser("plan", help="passes, forwards and cost before anything runs")
    plan.add_argument("file", type=Path)
    plan.add_argument(
        "--rate", type=_rate, metavar="N", help="forwards a second, to estimate the time"
    )
    plan.set_defaults(call=_plan)

    results = commands.add_parser("results", help="the numbers of an Evaluation in the cluster")
    results.add_argument("name")
    results.add_argument("-n", "--namespace", default=None)
    results.add_argument("--kubeconfig", default=None)
    results.add_argument("-o", "--output", choices=FORMATS, default="table")
    results.set_defaults(call=_results)

    compare = commands.add_parser("compare", help="two models on the same samples, paired")
    compare.add_argument("first", type=Path, help="records of one model (.npz)")
    compare.add_argument("second", type=Path, help="records of the other")
    compare.add_argument("--column", required=True, help="per-sample column to compare")
    compare.set_defaults(call=_compare)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 incomplete, 2 bad input, 128 + signal."""
    args = _parser().parse_args(argv)
    try:
        return int(args.call(args))
    except ManifestError as error:
        print(f"interplay: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except BrokenPipeError:
        # The reader (head, less) has left: not an error, but Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interplay: interrupted", file=sys.stderr)
        return EXIT_SIGNAL + signal.SIGINT
    except Exception as error:
        # A mistake of ours; whoever hunts it wants the traceback, everybody else one line.
        if os.environ.get("INTERPLAY_DEBUG"):
            raise
        text = " ".join(str(error).split())
        print(f"interplay: {type(error).__name__}: {text}", file=sys.stderr)
        return EXIT_INCOMPLETE


if __name__ == "__main__":
    sys.exit(main())
