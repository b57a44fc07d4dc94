"""Brings the servers that bench/peers/run.py compares: Debian's packages, one of npm's, and Go's
modules. Nothing of theirs goes into the tree; what is built here goes into build/peers."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "bench" / "peers"
BUILT = ROOT / "build" / "peers"


class Missing(Exception):
    """A peer that cannot be had, and why, in one line."""


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "nothing was said"


def run(*command, minutes=5, **more):
    """Its standard output; Missing: it failed."""
    name = " ".join(str(x) for x in command[:3])
    try:
        process = subprocess.Popen([str(x) for x in command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True, **more)
    except OSError as error:
        raise Missing(f"{name}: {error.strerror}") from None
    try:
        said, complained = process.communicate(timeout=minutes * 60)
    except subprocess.TimeoutExpired:
        raise Missing(f"{name}: not done in {minutes} minutes") from None
    finally:
        if process.poll() is None:  # with all that it has started
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode != 0:
        raise Missing(f"{name}: {last_line(complained or said)}")
    return said


@contextlib.contextmanager
def nothing_started():
    """Debian starts a service that it installs, unless this file says no; they would run beside
    what is measured."""
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists() and os.geteuid() == 0
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
        policy.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            policy.unlink()


def debian(packages, allowed):
    if not allowed:
        raise Missing("is not here, and --no-install was given")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Missing(f"is not here; as root on Debian: apt-get install {' '.join(packages)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with nothing_started():
        run("apt-get", "-q", "update", env=quiet)
        run("apt-get", "-q", "install", "-y", "--no-install-recommends", *packages, minutes=10,
            env=quiet)


def command(name, packages, allowed):
    """The path of a program of Debian's."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if shutil.which(name, path=path) is None:
        debian(packages, allowed)
    found = shutil.which(name, path=path)
    if found is None:
        raise Missing(f"{' '.join(packages)} brought no {name}")
    return found


def go(arguments, built, allowed, minutes, folder=None):
    """Runs `go` with everything that it fetches in a folder that goes away."""
    if built.exists():
        return str(built)
    if not allowed:
        raise Missing("is not built, and --no-install was given")
    program = command("go", ["golang-go"], allowed)
    BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run(program, *arguments, minutes=minutes, cwd=folder,
            env={**os.environ, "GOPATH": f"{scratch}/path", "GOCACHE": f"{scratch}/cache",
                 "GOBIN": str(BUILT), "GOFLAGS": "-modcacherw -buildvcs=false",
                 "GOTOOLCHAIN": "local"})
    if not built.exists():
        raise Missing(f"go {' '.join(arguments)} brought no {built.name}")
    return str(built)


def go_module(module, version, allowed, minutes):
    """A server that is a Go module, built as `go install` does it."""
    parts = module.split("/")
    name = parts[-2] if parts[-1].startswith("v") else parts[-1]
    return go(["install", f"{module}@{version}"], BUILT / name, allowed, minutes, ROOT / "build")


def classic(allowed, minutes):
    built = BUILT / "classic"
    source = HERE / "classic" / "main.go"
    if built.exists() and built.stat().st_mtime < source.stat().st_mtime:
        built.unlink()
    return go(["build", "-o", str(built), "."], built, allowed, minutes, HERE / "classic")


def node_server(allowed):
    """The folder with the server and its package beside it."""
    folder = BUILT / "ws"
    lock = folder / "package-lock.json"
    if not (folder / "node_modules" / "ws").exists() or \
            lock.read_bytes() != (HERE / "ws" / "package-lock.json").read_bytes():
        if not allowed:
            raise Missing("is not here, and --no-install was given")
        npm = command("npm", ["npm"], allowed)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(HERE / "ws", folder, ignore=shutil.ignore_patterns("node_modules"))
        run(npm, "ci", "--no-audit", "--no-fund", cwd=folder)
    shutil.copy(HERE / "ws" / "server.mjs", folder)
    return folder
