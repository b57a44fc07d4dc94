#!/usr/bin/env python3
"""Runs the standard set of `seriatim bench` and writes docs/BENCHMARKS.md.

    bench/run.py [--runs N] [--seconds N] [--short] [--only NAME ...] [--list]
                 [--durability WHAT] [--data DIR] [--out FILE] [--results DIR]

Every load runs --runs times (3), one run of each after the other, so that what the machine does
meanwhile meets all of them; the page tells medians, with the least and the most. `--short` runs
each once for a second: to see that it works, not how fast it is. A violation of order, or a load
that fails, ends it with status 1 and writes nothing.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

BINARY = ["--codec", "binary"]

# name: (what it is, arguments, whether --seconds and --warmup say something to it, the durability
# that it is about; None: that of the whole set)
LOADS = {
    "publish": ("64 connections, 64 publishes of a message under way on each", ["publish"], True,
                None),
    "publish-binary": ("the same in binary", ["publish", *BINARY], True, None),
    "publish-binary-runs": ("the same, where one answer may do for a run of publishes",
                            ["publish", *BINARY, "--cumulative"], True, None),
    "publish-batch": ("16 connections, 16 batches of 100 messages under way on each",
                      ["publish", "--connections", "16", "--batch", "100", "--inflight", "16"],
                      True, None),
    "publish-batch-binary": ("the same in binary",
                             ["publish", *BINARY, "--connections", "16", "--batch", "100",
                              "--inflight", "16"], True, None),
    "publish-20k": ("20,000 messages a second, whatever the server does",
                    ["publish", "--rate", "20000"], True, None),
    "fanout": ("1,000 subscribers, saturated, 64 messages under way", ["fanout"], True, None),
    "fanout-binary": ("the same in binary, synced to disk", ["fanout", *BINARY], True, "fsync"),
    "fanout-binary-memory": ("the same in binary, nothing synced", ["fanout", *BINARY], True,
                             "memory"),
    "fanout-rate": ("1,000 subscribers, 50 messages a second", ["fanout", "--rate", "50"], True,
                    None),
    "fanout-rate-binary": ("the same in binary, synced to disk",
                           ["fanout", *BINARY, "--rate", "50"], True, "fsync"),
    "fanout-rate-binary-memory": ("the same in binary, nothing synced",
                                  ["fanout", *BINARY, "--rate", "50"], True, "memory"),
    "fanout-lockstep": ("1,000 subscribers, each message waits for the last one's deliveries",
                        ["fanout", "--lockstep"], True, None),
    "pairs": ("300 publishers with a subscriber each, one message under way in each pair",
              ["pairs"], True, None),
    "pairs-binary": ("the same in binary, each publish synced and acknowledged",
                     ["pairs", *BINARY], True, "fsync"),
    "pairs-binary-memory": ("the same in binary, nothing synced, no acknowledgements",
                            ["pairs", *BINARY, "--no-ack"], True, "memory"),
    "pairs-one-thread": ("the same on a server of one thread, beside a relay of one thread",
                         ["pairs", *BINARY, "--no-ack", "--", "--threads", "1"], True, "memory"),
    "lone": ("one message at a time, 50 a second, on an idle server", ["lone"], True, None),
    "lone-binary": ("the same in binary", ["lone", *BINARY], True, None),
    "idle": ("5,000 connections, subscribed and silent", ["idle"], False, None),
    "idle-binary": ("the same in binary", ["idle", *BINARY], False, None),
    "resume": ("2,000 subscribers come back at once, 100 messages wait for each", ["resume"],
               False, None),
    "replay": ("1,000,000 messages, kill -9, read from the beginning by one reader a channel",
               ["replay"], False, None),
    "replay-4": ("the same with four readers a channel", ["replay", "--readers", "4"], False, None),
    "replay-binary": ("1,000,000 messages of one channel in binary, kill -9, one reader",
                      ["replay", *BINARY, "--channels", "1"], False, None),
    "replay-binary-100": ("200,000 messages of one channel in binary, kill -9, 100 readers",
                          ["replay", *BINARY, "--channels", "1", "--messages", "200000",
                           "--readers", "100"], False, None),
    "stall": ("1,000 subscribers, 100 of them read nothing for 20 s while 350 MB are published",
              ["stall", "--stall-seconds", "20", "--bytes", "350000000"], False, None),
    "channels": ("1,000,000 channels with a message each",
                 ["channels", *BINARY, "--channels", "1000000"], False, None),
}

# The page's first table: load, what, figure.
HEADLINES = [
    ("publish", "acknowledged messages a second", "acked_per_second"),
    ("publish", "server CPU a message, us", "server_cpu_us_per_message"),
    ("publish-binary", "acknowledged messages a second, binary", "acked_per_second"),
    ("publish-binary", "server CPU a message, us, binary", "server_cpu_us_per_message"),
    ("publish-binary-runs", "the same, answered in runs", "server_cpu_us_per_message"),
    ("publish-batch", "acknowledged messages a second, in batches", "acked_per_second"),
    ("publish-batch-binary", "acknowledged messages a second, in batches, binary",
     "acked_per_second"),
    ("publish-batch-binary", "server CPU a message, us, in batches, binary",
     "server_cpu_us_per_message"),
    ("publish-20k", "publish to acknowledgement at 20,000/s, p99 ms", "publish_acknowledged.p99"),
    ("fanout", "deliveries a second", "deliveries_per_second"),
    ("fanout-binary", "deliveries a second, binary", "deliveries_per_second"),
    ("fanout-binary-memory", "the same, nothing synced", "deliveries_per_second"),
    ("fanout", "server CPU a delivery, as a part of a bare send()", "ratio_to_bare_send"),
    ("fanout-binary", "the same, binary", "ratio_to_bare_send"),
    ("fanout-lockstep", "the same where nothing can be coalesced", "ratio_to_bare_send"),
    ("fanout-rate-binary", "publish to delivery at 50/s to 1,000, p99 ms", "publish_delivered.p99"),
    ("pairs", "round trips a second", "round_trips_per_second"),
    ("pairs-binary", "the same, binary", "round_trips_per_second"),
    ("pairs-binary-memory", "the same, nothing synced, no acknowledgements",
     "round_trips_per_second"),
    ("pairs-one-thread", "server CPU a message, one thread, us", "server_cpu_us_per_message"),
    ("pairs-one-thread", "the same of a relay that only sends on, us", "bare_relay_cpu_us"),
    ("lone", "publish to delivery, p50 ms", "publish_delivered.p50"),
    ("lone", "the same of a relay that only writes, syncs and sends on, us",
     "bare_syncing_relay_us_p50"),
    ("lone-binary", "publish to delivery, binary, p50 ms", "publish_delivered.p50"),
    ("idle", "server memory an idle connection, bytes", "server_rss_bytes_per_connection"),
    ("resume", "until 2,000 subscribers have caught up, s", "caught_up_seconds"),
    ("resume", "a bystander's delivery meanwhile, p99 ms", "bystander_during.p99"),
    ("replay", "payload read, MB a second", "read_payload_mb_per_second"),
    ("replay-binary", "the same, binary, one reader", "read_payload_mb_per_second"),
    ("replay-binary-100", "the same, binary, 100 readers", "read_payload_mb_per_second"),
    ("replay", "ready after kill -9, ms", "ready_ms_after_kill"),
    ("stall", "deliveries a second to the others before", "before_deliveries_per_second"),
    ("stall", "the same while 100 stall", "stall_deliveries_per_second"),
    ("stall", "server memory meanwhile, MiB", "stall_rss_mib"),
    ("stall", "until the stalled ones have everything, s", "caught_up_seconds"),
    ("channels", "server memory a channel, bytes", "server_bytes_per_channel"),
    ("channels", "ready with 1,000,000 channels, ms", "ready_ms_after_end"),
]

# What syncing adds: what, the load with it, the load without, figure. Told as how much larger or
# smaller the figure is, by runs that follow one another.
SYNC_SHARES = [
    ("deliveries a second, saturated", "fanout-binary", "fanout-binary-memory",
     "deliveries_per_second"),
    ("server CPU a delivery, saturated", "fanout-binary", "fanout-binary-memory",
     "server_cpu_us_per_delivery"),
    ("publish to delivery at 50/s, p50", "fanout-rate-binary", "fanout-rate-binary-memory",
     "publish_delivered.p50"),
    ("publish to delivery at 50/s, p99", "fanout-rate-binary", "fanout-rate-binary-memory",
     "publish_delivered.p99"),
    ("server CPU a delivery at 50/s", "fanout-rate-binary", "fanout-rate-binary-memory",
     "server_cpu_us_per_delivery"),
]


def parse_arguments():
    parser = argparse.ArgumentParser(description="Runs the standard set of `seriatim bench`.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", nargs="+", choices=LOADS, default=list(LOADS), metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--durability", choices=["fsync", "os", "memory"], default="fsync")
    parser.add_argument("--data", default=tempfile.gettempdir())
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build" / "seriatim")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "BENCHMARKS.md")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    if options.short:
        options.runs, options.seconds = 1, 1
    return options


def arguments_of(name, options):
    _, arguments, timed, durability = LOADS[name]
    times = ["--seconds", str(options.seconds), "--warmup", "1"] if timed else []
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return ["bench", *arguments[:at], *times, "--server", "--durability",
            durability or options.durability, *arguments[at:]]


def run_load(name, options):
    """What one run told; None: it failed, which was told."""
    arguments = arguments_of(name, options)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    command = [str(options.binary), *arguments[:at], "--data", options.data, "--quiet", "--json",
               "-", *arguments[at:]]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=300, check=False)
    if done.returncode != 0:
        print(done.stderr.decode("utf-8", "replace"), file=sys.stderr)
        print(f"{name} ended with status {done.returncode}", file=sys.stderr)
        return None
    told = json.loads(done.stdout)
    figures = dict(told["figures"])
    for latency, values in told["latency_ms"].items():
        if values["count"] > 0:
            figures.update({f"{latency}.{key}": values[key]
                            for key in ("p50", "p90", "p99", "p999", "max")})
    return {"figures": figures, "told": told}


def run_all(options):
    """By name the runs; None: one failed."""
    runs = {name: [] for name in options.only}
    began = time.monotonic()
    for number in range(options.runs):
        for name in options.only:
            print(f"{time.monotonic() - began:4.0f} s  run {number + 1} of {options.runs}  {name}",
                  file=sys.stderr, flush=True)
            run = run_load(name, options)
            if run is None:
                return None
            runs[name].append(run)
    print(f"{time.monotonic() - began:4.0f} s  done", file=sys.stderr)
    return runs


def summary_of(runs):
    """By figure (median, least, most), in the order in which they were told."""
    names = runs[0]["figures"]
    values = {name: [run["figures"][name] for run in runs if name in run["figures"]]
              for name in names}
    return {name: (statistics.median(v), min(v), max(v)) for name, v in values.items()}


# ---- the page -----------------------------------------------------------------------------------

def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    changed = git("status", "--porcelain", "--untracked-files=no")
    name = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return name + (" with changes" if changed else "")


def file_system(folder):
    """The type of the file system that holds the data."""
    path = os.path.realpath(folder)
    best = ("", "unknown")
    try:
        with open("/proc/mounts", encoding="utf-8") as mounts:
            for line in mounts:
                _, where, kind = line.split()[:3]
                inside = path == where or path.startswith(where.rstrip("/") + "/")
                if inside and len(where) >= len(best[0]):
                    best = (where, kind)
    except OSError:
        pass
    return best[1]


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def head_lines(runs, options, load_before):
    told = next(iter(runs.values()))[0]["told"]
    today = datetime.date.today().isoformat()
    yield "# Benchmarks"
    yield ""
    yield ("Made by `make bench`; do not edit. [BENCH.md](BENCH.md) says what each load and figure"
           " is.")
    yield ""
    yield (f"* {today}, commit {commit()}, {told['server']}, durability {options.durability} where"
           " a load does not say otherwise")
    yield (f"* {told['machine']}, {memory_gib():.0f} GiB of memory, data on"
           f" {file_system(options.data)}; Python {platform.python_version()} drove it")
    yield f"* load average before: {load_before:.2f}"
    yield (f"* medians of {options.runs} runs, the least and the most behind them; server and"
           " generator on the same machine")
    yield "* what a lock would cost on a connection's write path: [LOCKS.md](LOCKS.md)"
    yield ("* nothing was lost, doubled, out of order or changed in any run: each checks every"
           " message")
    yield ""


def headline_lines(summaries):
    yield "| load | figure | median | least | most |"
    yield "|---|---|---:|---:|---:|"
    for name, what, figure in HEADLINES:
        if figure in summaries.get(name, {}):
            median, least, most = map(number, summaries[name][figure])
            yield f"| [{name}](#{name}) | {what} | {median} | {least} | {most} |"
    yield ""


def share_lines(runs):
    """What syncing adds, in per cent; nothing where not both were run."""
    rows = []
    for what, with_sync, without, figure in SYNC_SHARES:
        both = zip(runs.get(with_sync, []), runs.get(without, []))
        shares = [100 * (a["figures"][figure] / b["figures"][figure] - 1) for a, b in both
                  if a["figures"].get(figure) and b["figures"].get(figure)]
        if shares:
            median, least, most = (f"{v:+.1f} %" for v in
                                   (statistics.median(shares), min(shares), max(shares)))
            rows.append(f"| {what} | {median} | {least} | {most} |")
    if rows:
        yield "What `fdatasync` adds to a fan-out, against `--durability memory`:"
        yield ""
        yield "| figure | median | least | most |"
        yield "|---|---:|---:|---:|"
        yield from rows
        yield ""


def load_lines(name, summary, options):
    yield f"## {name}"
    yield ""
    yield f"{LOADS[name][0][0].upper()}{LOADS[name][0][1:]}."
    yield ""
    yield "    build/seriatim " + " ".join(arguments_of(name, options))
    yield ""
    yield "| figure | median | least | most |"
    yield "|---|---:|---:|---:|"
    for figure, values in summary.items():
        median, least, most = map(number, values)
        label = figure.replace(".p999", ".p99.9") + (" (ms)" if "." in figure else "")
        yield f"| {label} | {median} | {least} | {most} |"
    yield ""


def page(runs, summaries, options, load_before):
    lines = [*head_lines(runs, options, load_before), *headline_lines(summaries),
             *share_lines(runs)]
    for name, summary in summaries.items():
        lines += load_lines(name, summary, options)
    return "\n".join(lines).rstrip() + "\n"


def main():
    options = parse_arguments()
    if options.list:
        for name, (what, *_) in LOADS.items():
            print(f"{name:26} {what}")
        return 0
    load_before = os.getloadavg()[0]
    runs = run_all(options)
    if runs is None:
        return 1
    summaries = {name: summary_of(r) for name, r in runs.items()}
    options.out.write_text(page(runs, summaries, options, load_before), encoding="utf-8")
    options.results.mkdir(parents=True, exist_ok=True)
    medians = {name: {figure: values[0] for figure, values in summary.items()}
               for name, summary in summaries.items()}
    (options.results / "medians.json").write_text(json.dumps(medians, indent=1) + "\n",
                                                  encoding="utf-8")
    print(f"wrote {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
