"""What bench/peers/run.py has measured, as docs/PEERS.md."""

import datetime
import os
import platform
import statistics
import subprocess

from install import ROOT

# By load: the figure that is the rate, and its name; the CPU's; the latency that counts.
FIGURES = {
    "fanout": ("deliveries_per_second", "deliveries/s", "server_cpu_us_per_delivery",
               "publish_delivered"),
    "pairs": ("round_trips_per_second", "messages/s", "server_cpu_us_per_message",
              "publish_delivered"),
    "publish": ("acked_per_second", "acknowledged/s", "server_cpu_us_per_message",
                "publish_acknowledged"),
}


class Result:
    """A server's runs of one load, and what went wrong in others."""

    def __init__(self, server):
        self.server, self.runs, self.failures = server, [], []

    def figures(self, name):
        return [run["figures"][name] for run in self.runs if name in run["figures"]]

    def median(self, name):
        values = self.figures(name)
        return statistics.median(values) if values else None

    def latency(self, name, percentile):
        values = [run["latency_ms"][name][percentile] for run in self.runs
                  if run["latency_ms"].get(name, {}).get("count", 0) > 0]
        return statistics.median(values) if values else None


def load_average():
    return os.getloadavg()[0]


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    changed = git("status", "--porcelain", "--untracked-files=no")
    name = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return name + (" with changes" if changed else "")


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def spread(values):
    """The median with the least and the most behind it."""
    if not values:
        return "-"
    middle = number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))}-{number(max(values))})"


def ratio(value, base):
    return f"{value / base:.2f}" if value is not None and base else "-"


def cells(*values):
    return "| " + " | ".join(str(x) for x in values) + " |"


def first_run(results):
    for by_server in results.values():
        for result in by_server.values():
            if result.runs:
                return result.runs[0]
    return {"machine": "?"}


def head_lines(left_out, results, options, load_before):
    yield "# Side by side with other servers"
    yield ""
    yield ("Made by `make bench-peers`; do not edit. [BENCH.md](BENCH.md) says what each load and"
           " figure is.")
    yield ""
    yield f"* {datetime.date.today().isoformat()}, commit {commit()}"
    yield f"* {first_run(results)['machine']}; Python {platform.python_version()} drove it"
    yield f"* load average before: {load_before:.2f}"
    yield (f"* medians of {options.runs} runs of {options.seconds} s, the least and the most behind"
           " them; payload 128 bytes; all take their turn with a load before the first does again")
    yield ("* the same generator for all, on the machine of the server; near one core it measures"
           " itself, and the CPU of a delivery is what counts")
    yield ("* CPU and memory of a server are those of all its processes; a process on loopback pays"
           " for the kernel's receiving, too")
    yield ("* the factor is that of the rate to Seriatim's as it comes (fsync), and of its CPU to"
           " Seriatim's: below 1, the other one is slower, or cheaper")
    yield "* every message's number and place was checked; a row that lost or mixed them up says so"
    yield from (f"* left out: {line}" for line in left_out)
    yield ""


def promise_lines(found):
    yield "## What each does meanwhile"
    yield ""
    yield cells("server", "version", "order", "log", "a publish is acknowledged when",
                "a subscriber that is slow")
    yield cells(*["---"] * 6)
    for server in found.values():
        yield cells(server.name, server.told_version, server.order, server.log, server.ack,
                    server.slow)
    yield ""


def bare_line(by_server):
    """The kernel alone, as every run has measured it for itself."""
    values = [value for result in by_server.values()
              for value in result.figures("bare_send_cpu_us")]
    base = by_server["seriatim"].median("server_cpu_us_per_delivery")
    cpu = statistics.median(values) if values else None
    return cells("a bare `send()` each", "nothing: the kernel alone", "-", "-", spread(values),
                 ratio(cpu, base), "-", "-", "-")


def failure_cell(result):
    if not result.failures:
        return ""
    text = result.failures[0].replace("|", "/").replace("\n", " ")[:120]
    return f"; **{len(result.failures)} runs failed: {text}**"


def load_lines(load, by_server):
    rate, unit, cpu, latency = FIGURES[load.split("-")[0]]
    base = by_server["seriatim"]
    yield cells("server", "keeps meanwhile", unit, "factor", "us of CPU each", "factor", "p50 ms",
                "p99 ms", "generator's cores")
    yield cells("---", "---", *["---:"] * 7)
    for result in by_server.values():
        done = result.median(rate)
        each = result.figures(cpu) if done else []  # by nothing nothing can be divided
        yield cells(f"{result.server.name} {result.server.told_version}",
                    result.server.keeps + failure_cell(result), spread(result.figures(rate)),
                    ratio(done, base.median(rate)), spread(each),
                    ratio(result.median(cpu) if done else None, base.median(cpu)),
                    number(result.latency(latency, "p50")), number(result.latency(latency, "p99")),
                    number(result.median("client_cpu_cores")))
    if load.startswith("fanout"):
        yield bare_line(by_server)


def idle_lines(by_server):
    name = "server_rss_bytes_per_connection"
    base = by_server["seriatim"].median(name)
    yield cells("server", "keeps meanwhile", "bytes of memory each", "factor", "MiB before")
    yield cells("---", "---", "---:", "---:", "---:")
    for result in by_server.values():
        yield cells(f"{result.server.name} {result.server.told_version}",
                    result.server.keeps + failure_cell(result), spread(result.figures(name)),
                    ratio(result.median(name), base),
                    number(result.median("server_rss_mib_before")))


def make(found, left_out, results, loads, options, load_before):
    lines = [*head_lines(left_out, results, options, load_before), *promise_lines(found)]
    for load, by_server in results.items():
        what = loads[load][0]
        lines += [f"## {load}", "", f"{what[0].upper()}{what[1:]}.", ""]
        lines += idle_lines(by_server) if load == "idle" else load_lines(load, by_server)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
