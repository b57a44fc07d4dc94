#!/usr/bin/env python3
"""Puts the same loads, with the same generator, on Seriatim and other servers by turns, and writes
docs/PEERS.md.

    bench/peers/run.py [--runs N] [--seconds N] [--short] [--only SERVER ...] [--loads LOAD ...]
                       [--no-install] [--minutes N] [--list] [--data DIR] [--out FILE]

What is missing is installed: Debian's packages, npm's ws, two servers that are Go modules, built
into build/peers, each within --minutes (10). A server that cannot be had is left out, in one line
that says why. Each run starts a server of its own on a free port of 127.0.0.1 with its data in a
new folder, and ends it. All servers take their turn with a load before the first does again, --runs
times (3); the page tells medians. `--short` runs each once for a second: to see that it works.

A peer that fails, or loses or reorders messages, has a row that says so; if Seriatim does, the
status is 1 and nothing is written.
"""

import argparse
import contextlib
import json
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import page
import servers
from install import ROOT, Missing

# name: (what it is, arguments for the generator, whether --seconds says something to it)
LOADS = {
    "fanout-64": ("one publisher, 1,000 subscribers, saturated: 64 messages ahead of the slowest",
                  ["fanout", "--connections", "1000", "--inflight", "64"], True),
    "fanout-32": ("the same with 32", ["fanout", "--connections", "1000", "--inflight", "32"],
                  True),
    "fanout-50": ("one publisher, 1,000 subscribers, 50 messages a second",
                  ["fanout", "--connections", "1000", "--rate", "50"], True),
    "pairs": ("300 publishers with a subscriber each, one message under way in each pair",
              ["pairs", "--connections", "300"], True),
    "publish": ("durable publish: 16 connections, 64 publishes under way on each",
                ["publish", "--connections", "16", "--channels", "16", "--inflight", "64"], True),
    "idle": ("5,000 connections, subscribed and silent", ["idle", "--connections", "5000"], False),
}
PAYLOAD = "128"
READY_SECONDS = 60
END_SECONDS = 15


class Failed(Exception):
    """A server that does not start, or a load that it does not bear."""


def parse_arguments():
    parser = argparse.ArgumentParser(description="Seriatim and other servers, side by side.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", nargs="+", choices=servers.ALL, default=list(servers.ALL),
                        metavar="SERVER", help="beside Seriatim itself")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS), metavar="LOAD")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--no-install", action="store_true")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--data", default=tempfile.gettempdir())
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build" / "seriatim")
    parser.add_argument("--generator", type=pathlib.Path,
                        default=ROOT / "build" / "bench" / "peers")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "PEERS.md")
    options = parser.parse_args()
    if options.short:
        options.runs, options.seconds = 1, 1
    return options


# ---- a server's life ----------------------------------------------------------------------------

def free_ports(count):
    """All at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def is_ready(server, port):
    try:
        if server.adapter == "seriatim":
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
                return answer.status == 200
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_ready(server, process, ports, log):
    end = time.monotonic() + READY_SECONDS
    while not all(is_ready(server, port) for port in ports):
        if process.poll() is not None:
            said = log.read_text(encoding="utf-8", errors="replace")
            raise Failed(f"it ended at once: {servers.install.last_line(said)}")
        if time.monotonic() > end:
            raise Failed(f"it was not ready in {READY_SECONDS} s")
        time.sleep(0.02)


def end(process):
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def running(server, load, options):
    """(address, pid) of a server of its own."""
    with tempfile.TemporaryDirectory(prefix="seriatim-peers-", dir=options.data) as folder:
        port, other_port = free_ports(2)
        command = server.command(folder, port, other_port)
        if shutil.which("setpriv"):  # whatever ends us ends it
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        log = pathlib.Path(folder) / "log"
        with open(log, "wb") as to:
            process = subprocess.Popen([str(x) for x in command], stdin=subprocess.DEVNULL,
                                       stdout=to, stderr=to, cwd=folder, start_new_session=True)
        try:
            wait_ready(server, process, [port], log)
            server.prepare(load, other_port)
            yield f"127.0.0.1:{port}", process.pid
        finally:
            end(process)


# ---- a run --------------------------------------------------------------------------------------

def run_load(server, load, options):
    """What the generator told; Failed: it failed, or found a violation of order."""
    _, arguments, timed = LOADS[load]
    times = ["--seconds", str(options.seconds), "--warmup", "1"] if timed else []
    payload = ["--payload", PAYLOAD] if timed else []
    with running(server, load, options) as (address, pid):
        command = [options.generator, server.adapter, *arguments, *times, *payload,
                   "--address", address, "--server-pid", pid, "--json", "-"]
        try:
            done = subprocess.run([str(x) for x in command], stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=180, check=False)
        except subprocess.TimeoutExpired:
            raise Failed("the load did not end") from None
    try:
        told = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode("utf-8", "replace")
        raise Failed(servers.install.last_line(said)) from None
    if told["failure"]:
        raise Failed(told["failure"])
    if told["account"]["violations"] > 0:
        found = [f"{value} {name}" for name, value in told["account"].items()
                 if value > 0 and name not in ("sent", "acknowledged", "delivered", "violations")]
        raise Failed(", ".join(found))
    return told


def run_all(found, options):
    """By load and server the runs and the failures; None: Seriatim itself failed."""
    results = {load: {} for load in options.loads}
    began = time.monotonic()
    for number in range(options.runs):
        for load in options.loads:
            for name, server in found.items():
                if load not in server.loads:
                    continue
                print(f"{time.monotonic() - began:5.0f} s  run {number + 1} of {options.runs}"
                      f"  {load:10} {name}", file=sys.stderr, flush=True)
                result = results[load].setdefault(name, page.Result(server))
                try:
                    result.runs.append(run_load(server, load, options))
                except (Failed, Missing) as failure:
                    print(f"         {server.name} failed: {failure}", file=sys.stderr)
                    result.failures.append(str(failure))
                    if server.adapter == "seriatim":
                        return None
    print(f"{time.monotonic() - began:5.0f} s  done", file=sys.stderr)
    return results


def find_all(options):
    """(those that are here by name with their versions, lines about those that are not)."""
    found, left_out = {}, []
    names = list(dict.fromkeys(["seriatim", *options.only]))
    for name in names:
        server = servers.ALL[name]
        try:
            server.find(options)
            server.told_version = server.version()
            found[name] = server
        except Missing as missing:
            left_out.append(f"{server.name}: {missing}")
            print(f"left out: {left_out[-1]}", file=sys.stderr)
    return found, left_out


def raise_descriptor_limit():
    """A connection each: servers take over what is allowed here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main():
    options = parse_arguments()
    if options.list:
        for name, server in servers.ALL.items():
            print(f"{name:18} {server.name}: {server.keeps}")
        return 0
    # Ended by a signal, what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_descriptor_limit()
    found, left_out = find_all(options)
    if "seriatim" not in found:
        return 1
    load_before = page.load_average()
    results = run_all(found, options)
    if results is None:
        return 1
    text = page.make(found, left_out, results, LOADS, options, load_before)
    options.out.write_text(text, encoding="utf-8")
    print(f"wrote {options.out}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
