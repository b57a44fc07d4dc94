#!/usr/bin/env python3
"""The checker checked: what build/seriatim-sim prints and returns when a promise is broken.

    test/sim/check.py [PROGRAM]

`--set canary=N` makes the model remember the N-th message wrongly: a run that goes on as if nothing
was wrong has an oracle that does not look. Each check prints a line where it fails; the last line
is `N passed, N failed`.
"""

import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build" / "seriatim-sim")
RESULTS = []


def sim(*options):
    """(status, output), without what speaks of elapsed time."""
    done = subprocess.run([PROGRAM, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False)
    text = done.stdout.decode("utf-8", "replace")
    return done.returncode, re.sub(r"(?m)^elapsed .*\n", "", text)


def check(what, good, text=""):
    RESULTS.append(good)
    if not good:
        print(f"FAILED: {what}\n{text[-2000:]}")


def failure_of(text):
    """(seed, invariant, replay command) of a run that says it has failed."""
    found = re.search(r"(?m)^FAILED seed (\d+): ([^:]+): .+$", text)
    replay = re.search(r"(?m)^replay: build/seriatim-sim (.+)$", text)
    return (found[1], found[2], shlex.split(replay[1])) if found and replay else (None, None, [])


def check_good_runs():
    first = sim("--runs", "150", "--jobs", "1")
    check("good seeds end with 0", first[0] == 0, first[1])
    check("a run counts its seeds and has a hash",
          re.search(r"(?m)^150 seeds: .* 0 violations, hash [0-9a-f]{16}$", first[1]), first[1])
    for jobs in ("2", "3", "7"):
        again = sim("--runs", "150", "--jobs", jobs)
        check(f"{jobs} processes print what one prints", again == first, again[1])
    halves = [sim("--seed", str(seed), "--runs", "1", "--jobs", "1")[1] for seed in (5, 5, 6)]
    check("a seed is the same each time", halves[0] == halves[1])
    check("another seed is another world", halves[0] != halves[2])


# Without retention every message is seen by somebody in the end, the one remembered wrongly too.
CANARY = ("--set", "canary=10", "--set", "retention_messages=0", "--set", "retention_bytes=0")


def failing_seed():
    return failure_of(sim("--runs", "20", *CANARY)[1])[0] or "1"


def check_failure():
    """Canaries: in every seed at once, and in some of many only."""
    status, text = sim("--seed", failing_seed(), *CANARY)
    seed, invariant, replay = failure_of(text)
    check("a broken promise ends with 1", status == 1, text)
    check("… and names seed and invariant",
          seed == failing_seed() and invariant == "I2 agreement", text)
    check("… and shows the last events",
          len(re.findall(r"(?m)^ +\d+\.\d{3} \S", text)) >= 20, text)
    status, again = sim(*replay)
    check("the command that it prints fails in the same way",
          status == 1 and failure_of(again)[:2] == (seed, invariant), again)
    rare = ("--set", "canary=400", *CANARY[2:])
    runs = [sim("--runs", "200", *rare, "--jobs", jobs) for jobs in "1235"]
    check("of many seeds one fails", runs[0][0] == 1 and failure_of(runs[0][1])[0], runs[0][1])
    check("the same one in however many processes", all(run == runs[0] for run in runs),
          "\n".join(run[1][-300:] for run in runs))


def plan_of(replay):
    return dict(option.split("=") for option in replay if "=" in option)


def check_shrink():
    options = ("--seed", failing_seed(), *CANARY, "--shrink")
    first = sim(*options)
    seed, invariant, replay = failure_of(first[1])
    check("a failing seed is shrunk", first[0] == 1 and invariant == "I2 agreement", first[1])
    check("… to fewer of everything", len(plan_of(replay)) >= 8, first[1])
    kinds = [name for name in plan_of(replay) if name.isupper()]
    check("… with few kinds of faults",
          plan_of(replay).get("faults") == "0" and len(kinds) <= 4, first[1])
    check("… in the same way each time", sim(*options) == first)
    status, text = sim(*replay)
    check("what it found fails by itself",
          status == 1 and failure_of(text)[:2] == (seed, invariant), text)
    check("a good seed is not shrunk", sim("--seed", "3", "--shrink")[0] == 2)


def check_options():
    for options in (("--nonsense",), ("--seed",), ("--seed", "x"), ("--set", "nothing=1"),
                    ("--set", "steps"), ("--set", "steps=x")):
        check(f"{' '.join(options)} is refused", sim(*options)[0] == 2)
    check("a file of seeds that is not there is a failure", sim("--seeds", "/nowhere")[0] == 1)
    status, text = sim("--runs", "2", "--marks-required")
    check("marks that are never reached are named, and a failure where all are required",
          status == 1 and "never reached: " in text, text)


for part in (check_good_runs, check_failure, check_shrink, check_options):
    part()
PASSED = sum(1 for good in RESULTS if good)
print(f"{PASSED} passed, {len(RESULTS) - PASSED} failed")
sys.exit(0 if PASSED == len(RESULTS) else 1)
