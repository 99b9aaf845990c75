"""`python -m tests.faults`: run campaigns, write one line per fault, and a table of all."""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
import tempfile
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from tests.faults.mutants import MUTANTS, catch
from tests.faults.record import Fault, Log
from tests.faults.registry import Campaign, Round, load
from tests.faults.table import render
from tests.faults.world import World, missing

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / ".build" / "faults"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--campaign", action="append", metavar="ID", help="only this one; again")
    parser.add_argument("--full", action="store_true", help="the rounds of `make faults-full`")
    parser.add_argument("--rounds", type=int, help="so many rounds of each campaign")
    parser.add_argument("--round", type=int, metavar="N", help="only this one")
    parser.add_argument("--shard", default="1/1", metavar="i/n", help="this part of the rounds")
    parser.add_argument("--seed", type=int, default=20_260_102)
    parser.add_argument("--budget", type=float, default=0.0, metavar="MINUTES", help="then stop")
    parser.add_argument("--width", type=int, default=4, help="scenarios at the same time")
    parser.add_argument("--out", type=Path, help="lines are appended here; rounds in it are done")
    parser.add_argument("--fast", action="store_true", help="end rounds at a broken promise")
    parser.add_argument("--mutants", nargs="*", metavar="WORD", help="try the broken operators")
    parser.add_argument("--list", action="store_true", help="name the campaigns")
    return parser.parse_args()


class Runner:
    """Runs rounds in worlds, one world per campaign."""

    def __init__(self, options: argparse.Namespace, log: Log) -> None:
        self.options, self.log = options, log
        self.deadline = time.monotonic() + options.budget * 60 if options.budget else float("inf")
        self.violations = self.errors = self.faults = 0

    def rounds(self, campaign: Campaign) -> list[Round]:
        """Those of this shard that are not in the table yet."""
        count = self.options.rounds or (campaign.full if self.options.full else campaign.quick)
        part, parts = (int(n) for n in self.options.shard.split("/"))
        done = self.log.done()
        one, fast = self.options.round, self.options.fast
        numbers = range(count) if one is None else [one]
        every = [Round(campaign.id, n, self.options.seed, fast) for n in numbers]
        mine = every[part - 1 :: parts]
        return [r for r in mine if (r.campaign, r.number, r.seed) not in done]

    def run(self, campaign: Campaign) -> None:
        """All rounds of one campaign."""
        waiting = self.rounds(campaign)
        if not waiting or self.late():
            return
        print(f"{campaign.id} {campaign.title}: {len(waiting)} rounds", flush=True)
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            world = World(Path(folder))
            world.start()
            try:
                self._side_by_side(world, campaign, waiting)
            finally:
                world.stop()

    def late(self) -> bool:
        """Whether the budget is spent."""
        return time.monotonic() > self.deadline

    def _side_by_side(self, world: World, campaign: Campaign, waiting: list[Round]) -> None:
        width = min(campaign.width, self.options.width)
        under_way: dict[Future[list[Fault]], tuple[Round, float]] = {}
        with ThreadPoolExecutor(width, thread_name_prefix=campaign.id) as pool:
            while waiting or under_way:
                while waiting and len(under_way) < width and not self.late():
                    round_ = waiting.pop(0)
                    future = pool.submit(campaign.run, world, round_)
                    under_way[future] = (round_, time.monotonic())
                if not under_way:
                    return
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    self._take(future, *under_way.pop(future))

    def _take(self, future: Future[list[Fault]], round_: Round, began: float) -> None:
        took = time.monotonic() - began
        try:
            faults = future.result()
        except Exception:
            # The harness's own trouble is no violation, and no success either.
            self.errors += 1
            print(f"{round_.name}: the round broke:\n{traceback.format_exc()}", flush=True)
            return
        self.log.append(faults, round_.campaign, round_.number, round_.seed, took=round(took, 1))
        bad = [f for f in faults if not f.survived]
        self.faults += len(faults)
        self.violations += len(bad)
        said = f"{len(faults)} faults, {len(bad)} not survived, {took:.0f} s"
        print(f"  {round_.name}: {said}", flush=True)
        for fault in bad:
            for text in fault.violations:
                print(f"    {fault.point}: {text}", flush=True)


def try_mutants(words: list[str], seed: int) -> int:
    """Each broken operator must be caught by a broken promise; all, or those with a word."""
    chosen = [m for m in MUTANTS if not words or any(w in m.name for w in words)]
    caught = 0
    for mutant in chosen:
        found = catch(mutant, seed)
        caught += bool(found)
        said = f"caught: {found[0]}" if found else "NOT CAUGHT"
        print(f"{mutant.name}: {said}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


def main() -> int:
    """Exit status 1 where a promise was broken or a round broke."""
    # `kill -USR1` shows where every thread is.
    faulthandler.register(signal.SIGUSR1)
    options = arguments()
    campaigns = load()
    if options.list:
        for campaign in campaigns.values():
            print(f"{campaign.id}\t{campaign.quick}\t{campaign.full}\t{campaign.title}")
        return 0
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    print(f"seed {options.seed}")
    if options.mutants is not None:
        return try_mutants(options.mutants, options.seed)
    path = options.out or OUT / ("full.jsonl" if options.full else "faults.jsonl")
    if not options.out and not options.full:
        # A short run is anew each time; a full one goes on where it ended.
        path.unlink(missing_ok=True)
    log = Log(path)
    runner = Runner(options, log)
    for name in options.campaign or campaigns:
        runner.run(campaigns[name])
    table = render(path, campaigns)
    path.with_suffix(".md").write_text(table + "\n")
    print(table)
    return 1 if runner.violations or runner.errors else 0


if __name__ == "__main__":
    sys.exit(main())
