"""The servers that bench/peers/run.py compares: how each is had and started, and what it keeps."""

import grp
import json
import os
import pathlib
import pwd
import re
import resource

import install
from install import HERE, Missing

CONFIG = HERE / "config"
BROADCAST = ("fanout-64", "fanout-32", "fanout-50", "pairs", "idle")


class Server:
    """One row of each table. `keeps` says in a few words what a row stands for; the others say it
    in full: what order, what log, what an acknowledgement means, what becomes of a slow client."""
    name = adapter = keeps = order = log = ack = slow = ""
    loads = BROADCAST
    path = ""  # of the program, once it was found

    def find(self, options):
        """Sets self.path; Missing: it cannot be had."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def command(self, folder, port, other_port):
        """What to run; may write files into the folder first."""
        raise NotImplementedError

    def prepare(self, load, other_port):
        """What is to be done once it runs."""

    def configure(self, name, folder, port, other_port, more=""):
        """The path of a copy of a file in config/, filled in."""
        user = pwd.getpwuid(os.geteuid())
        values = {"PORT": port, "OTHER_PORT": other_port, "FOLDER": folder, "MORE": more,
                  "USER": user.pw_name, "GROUP": grp.getgrgid(user.pw_gid).gr_name,
                  "DESCRIPTORS": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                  "MODULE": Nchan.module()}
        text = (CONFIG / name).read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        path = pathlib.Path(folder) / name
        path.write_text(text, encoding="utf-8")
        return str(path)


def told_by(path, *arguments):
    """The first number with dots that a program says of itself."""
    said = install.run(path, *arguments)
    found = re.search(r"\d+\.\d+(\.\d+)*", said)
    return found.group(0) if found else install.last_line(said)


class Seriatim(Server):
    adapter = "seriatim"
    order = "of each channel, numbered without gaps, the same for all"
    slow = "goes on from the log when it can"

    def __init__(self, durability):
        self.durability = durability
        self.name = "seriatim" if durability == "fsync" else f"seriatim, {durability}"
        means = {"fsync": "it is on disk (fdatasync)", "os": "the kernel has it",
                 "memory": "it is in memory"}
        self.ack = means[durability]
        self.log = "all, in memory" if durability == "memory" else "all, in files"
        self.keeps = f"order, log; ack: {self.ack}"
        self.loads = ("publish",) if durability == "os" else (*BROADCAST, "publish")

    def find(self, options):
        self.path = str(options.binary)
        if not os.access(self.path, os.X_OK):
            raise Missing(f"{self.path} is not there")

    def version(self):
        return told_by(self.path, "version")

    def command(self, folder, port, other_port):
        return [self.path, "serve", "--data", f"{folder}/data", "--listen", f"127.0.0.1:{port}",
                "--durability", self.durability]


class Nats(Server):
    """Debian's, or a current one as a Go module; without JetStream, with it, and with its sync."""
    MODULE = "github.com/nats-io/nats-server/v2"

    def __init__(self, current, stream, sync=False):
        self.current, self.stream, self.sync = current, stream, sync
        base = "nats-server" if current else "nats-server (Debian)"
        self.name = base + (", JetStream" if stream else "") + (", sync always" if sync else "")
        self.adapter = "jetstream" if stream else "nats"
        self.order = "of each publisher by itself"
        self.slow = "is disconnected at 64 MiB or 10 s"
        self.log, self.ack, self.keeps = "none", "none", "no log, no ack"
        if stream:
            self.order = "the stream's, for those who read it; here as above"
            self.log = "all, in files"
            self.ack = "it is on disk (fsync)" if sync else "the kernel has it"
            self.keeps = f"log; ack: {self.ack}"
            self.loads = ("publish",) if sync else ("fanout-64", "fanout-50", "pairs", "publish")

    def find(self, options):
        allowed = not options.no_install
        self.path = (install.go_module(self.MODULE, "latest", allowed, options.minutes)
                     if self.current else
                     install.command("nats-server", ["nats-server"], allowed))

    def version(self):
        return told_by(self.path, "--version")

    def command(self, folder, port, other_port):
        sync = "sync_interval: always" if self.sync else ""
        more = f'jetstream {{\n  store_dir: "{folder}/data"\n  {sync}\n}}' if self.stream else ""
        return [self.path, "-c", self.configure("nats.conf", folder, port, other_port, more)]


class Nchan(Server):
    name, adapter = "nginx with nchan", "plain"
    order = "of each publisher by itself"
    log = "the last 1000 messages or 10 s, in memory"
    ack = "it is in memory (not waited for)"
    slow = "goes on from that memory, or misses what is gone"
    keeps = "1000 messages in memory, no ack"

    @staticmethod
    def module():
        return "/usr/lib/nginx/modules/ngx_nchan_module.so"

    def find(self, options):
        allowed = not options.no_install
        packages = ["nginx-core", "libnginx-mod-nchan"]
        self.path = install.command("nginx", packages, allowed)
        if not os.path.exists(self.module()):
            install.debian(packages, allowed)

    def version(self):
        said = [install.run("dpkg-query", "-W", "-f", "${Version}", package)
                for package in ("nginx-core", "libnginx-mod-nchan")]
        return " + ".join(re.sub(r"^\d+:|[+-].*$", "", x) for x in said)

    def command(self, folder, port, other_port):
        return [self.path, "-p", folder, "-e", "stderr", "-c",
                self.configure("nginx.conf", folder, port, other_port)]


class Mosquitto(Server):
    order = "of each publisher and topic"
    slow = "everything waits for it in memory (the bound was lifted)"

    def __init__(self, qos):
        self.qos = qos
        self.name = f"mosquitto, QoS {qos}"
        self.adapter = "mqtt-qos1" if qos else "mqtt"
        self.log = "none"
        self.ack, self.keeps = "none", "no log, no ack"
        if qos:
            self.log = "what an absent subscriber has not had; saved every 30 minutes"
            self.ack = "it is in memory"
            self.keeps = "queue in memory; ack: it is there; each delivery is acknowledged, too"
            self.loads = ("fanout-64", "fanout-50", "pairs", "publish")

    def find(self, options):
        allowed = not options.no_install
        self.path = install.command("mosquitto", ["mosquitto"], allowed)
        if self.qos:
            install.command("mosquitto_sub", ["mosquitto-clients"], allowed)

    def version(self):
        said = install.run("dpkg-query", "-W", "-f", "${Version}", "mosquitto")
        return re.sub(r"-.*$", "", said)

    def command(self, folder, port, other_port):
        more = f"persistence true\npersistence_location {folder}/" if self.qos else ""
        return [self.path, "-c", self.configure("mosquitto.conf", folder, port, other_port, more)]

    def prepare(self, load, other_port):
        """Somebody absent for whom it must keep what is published: else it keeps nothing. Only in
        the load that has no subscribers."""
        if self.qos and load == "publish":
            install.run("mosquitto_sub", "-h", "127.0.0.1", "-p", other_port, "-c", "-i", "absent",
                        "-q", "1", "-t", "#", "-E")


class Redis(Server):
    adapter = "redis"
    order = "the stream's"
    log = "all, in memory and in a file"
    slow = "asks when it can"

    def __init__(self, sync):
        self.sync = sync
        self.name = f"Redis Streams, appendfsync {sync}"
        self.ack = ("it is on disk (fdatasync)" if sync == "always"
                    else "it is in memory, on disk within a second")
        self.keeps = f"order, log; ack: {self.ack}; own protocol, no WebSocket"
        self.loads = (("fanout-64", "fanout-50", "pairs", "publish") if sync == "always"
                      else ("publish",))

    def find(self, options):
        self.path = install.command("redis-server", ["redis-server"], not options.no_install)

    def version(self):
        return told_by(self.path, "--version")

    def command(self, folder, port, other_port):
        return [self.path, self.configure("redis.conf", folder, port, other_port, self.sync)]


class Centrifugo(Server):
    name, adapter = "Centrifugo", "centrifugo"
    MODULE = "github.com/centrifugal/centrifugo/v6"
    order = "of each channel, in one server"
    log = "none (history is off, as it comes)"
    ack = "it was handed to the subscribers' queues"
    slow = "is disconnected at 1 MiB"
    keeps = f"no log; ack: {ack}"

    def find(self, options):
        self.path = install.go_module(self.MODULE, "latest", not options.no_install,
                                      options.minutes)

    def version(self):
        return json.loads(install.run("go", "version", "-m", "-json", self.path))["Main"][
            "Version"].lstrip("v")

    def command(self, folder, port, other_port):
        return [self.path, "-c", self.configure("centrifugo.json", folder, port, other_port)]


class Node(Server):
    name, adapter = "Node with ws", "plain"
    order = "of each channel"
    log, ack = "none", "none"
    slow = "everything waits for it in memory"
    keeps = "no log, no ack"
    folder = None

    def find(self, options):
        self.path = install.command("node", ["nodejs"], not options.no_install)
        self.folder = install.node_server(not options.no_install)

    def version(self):
        package = self.folder / "node_modules" / "ws" / "package.json"
        ws = json.loads(package.read_text(encoding="utf-8"))["version"]
        return f"{told_by(self.path, '--version')} + {ws}"

    def command(self, folder, port, other_port):
        return [self.path, str(self.folder / "server.mjs"), f"127.0.0.1:{port}"]


class Classic(Server):
    name, adapter = "Go, classic design", "plain"
    order = "of each channel"
    log, ack = "none", "none"
    slow = "is disconnected at 256 messages"
    keeps = "no log, no ack"

    def find(self, options):
        self.path = install.classic(not options.no_install, options.minutes)

    def version(self):
        said = install.run("go", "version", "-m", self.path)
        gorilla = re.search(r"gorilla/websocket\s+v(\S+)", said)
        return f"{said.split()[1].lstrip('go')} + gorilla {gorilla.group(1) if gorilla else '?'}"

    def command(self, folder, port, other_port):
        return [self.path, "-listen", f"127.0.0.1:{port}"]


ALL = {
    "seriatim": Seriatim("fsync"),
    "seriatim-os": Seriatim("os"),
    "seriatim-memory": Seriatim("memory"),
    "nats": Nats(current=True, stream=False),
    "nats-debian": Nats(current=False, stream=False),
    "jetstream": Nats(current=True, stream=True),
    "jetstream-sync": Nats(current=True, stream=True, sync=True),
    "jetstream-debian": Nats(current=False, stream=True),
    "nchan": Nchan(),
    "mosquitto": Mosquitto(0),
    "mosquitto-qos1": Mosquitto(1),
    "redis-always": Redis("always"),
    "redis-everysec": Redis("everysec"),
    "centrifugo": Centrifugo(),
    "ws": Node(),
    "classic": Classic(),
}
