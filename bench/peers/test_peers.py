#!/usr/bin/env python3
"""bench/peers without any server: each one's settings are filled in, and the page says what came.

Nothing is installed, started or fetched here.
"""

import json
import pathlib
import sys
import tempfile
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import install  # noqa: E402
import page  # noqa: E402
import run  # noqa: E402
import servers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def told(rate, cpu, **more):
    """What the generator tells of a load, as far as the page reads it."""
    return {
        "machine": "Linux 6, 2 x CPU",
        "figures": {"deliveries_per_second": rate, "server_cpu_us_per_delivery": cpu,
                    "client_cpu_cores": 0.5, "bare_send_cpu_us": 5.0, **more},
        "latency_ms": {"publish_delivered": {"count": 9, "p50": 1.5, "p99": 2.5}},
    }


def made(results, found, left_out=()):
    options = types.SimpleNamespace(runs=3, seconds=5)
    return page.make(found, list(left_out), results, run.LOADS, options, 0.1)


class Servers(unittest.TestCase):
    def test_each_one_says_what_it_promises_and_bears_known_loads(self):
        for name, server in servers.ALL.items():
            with self.subTest(name):
                for field in ("name", "adapter", "keeps", "order", "log", "ack", "slow"):
                    self.assertTrue(getattr(server, field))
                self.assertLessEqual(set(server.loads), set(run.LOADS))
        names = [server.name for server in servers.ALL.values()]
        self.assertEqual(len(names), len(set(names)))

    def test_every_adapter_is_one_of_the_generators(self):
        header = (ROOT / "bench" / "peers" / "peers.h").read_text(encoding="utf-8")
        for server in servers.ALL.values():
            name = server.adapter.replace("-", "_")
            self.assertTrue(server.adapter == "seriatim" or f" X({name}) " in header,
                            server.adapter)

    def test_settings_are_filled_in(self):
        for name, server in servers.ALL.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                server.path, server.folder = "/program", pathlib.Path(folder)
                command = [str(x) for x in server.command(folder, 4711, 4712)]
                text = " ".join(command) + "".join(
                    path.read_text(encoding="utf-8") for path in pathlib.Path(folder).iterdir())
                self.assertEqual(command[0], "/program")
                self.assertIn("4711", text)
                self.assertNotRegex(text, r"@[A-Z_]+@")
        config = (servers.CONFIG / "centrifugo.json").read_text(encoding="utf-8")
        json.loads(config)

    def test_ports_differ(self):
        ports = run.free_ports(20)
        self.assertEqual(len(set(ports)), 20)


class Installing(unittest.TestCase):
    def test_what_fails_or_lasts_says_so_in_a_line(self):
        self.assertEqual(install.run("echo", "yes"), "yes\n")
        for command, minutes, why in ((("false",), 1, "false: nothing was said"),
                                      (("sh", "-c", "echo a; echo b >&2; exit 3"), 1, ": b"),
                                      (("sleep", "60"), 0.002, "sleep 60: not done in 0.002 min"),
                                      (("no-such-program",), 1, "No such file")):
            with self.subTest(command), self.assertRaises(install.Missing) as raised:
                install.run(*command, minutes=minutes)
            self.assertIn(why, str(raised.exception))
            self.assertNotIn("\n", str(raised.exception))

    def test_nothing_is_installed_unasked(self):
        with self.assertRaises(install.Missing):
            install.command("no-such-program", ["no-such-package"], allowed=False)


class Page(unittest.TestCase):
    def setUp(self):
        self.ours = page.Result(servers.ALL["seriatim"])
        self.ours.runs = [told(1000, 2.0), told(3000, 4.0), told(2000, 3.0)]
        self.theirs = page.Result(servers.ALL["ws"])
        self.found = {"seriatim": servers.ALL["seriatim"], "ws": servers.ALL["ws"]}
        for server in self.found.values():
            server.told_version = "1.2"

    def rows(self, load="fanout-64", **more):
        text = made({load: {"seriatim": self.ours, "ws": self.theirs}}, self.found, **more)
        tables = text.split(f"## {load}")[1].splitlines()
        return text, [line for line in tables if line.startswith("|")][2:]

    def test_medians_and_factors(self):
        self.theirs.runs = [told(500, 6.0)]
        _, rows = self.rows()
        self.assertIn("| 2,000 (1,000-3,000) | 1.00 | 3 (2-4) | 1.00 | 1.5 | 2.5 | 0.5 |", rows[0])
        self.assertIn("| 500 | 0.25 | 6 | 2.00 |", rows[1])
        self.assertIn("| a bare `send()` each |", rows[2])
        self.assertIn("| 5 (5-5) | 1.67 |", rows[2])

    def test_a_peer_that_fails_says_so_and_is_no_zero(self):
        self.theirs.failures = ["5 lost | 2 gaps"]
        _, rows = self.rows()
        self.assertIn("**1 runs failed: 5 lost / 2 gaps**", rows[1])
        self.assertIn("| - | - | - | - | - | - | - |", rows[1])

    def test_no_message_costs_nothing_that_could_be_told(self):
        self.theirs.runs = [told(0, 50000.0)]
        _, rows = self.rows()
        self.assertIn("| 0 | 0.00 | - | - |", rows[1])

    def test_what_was_left_out_is_told(self):
        text, _ = self.rows(left_out=["Centrifugo: go install: not done in 1 minutes"])
        self.assertIn("* left out: Centrifugo: go install: not done in 1 minutes", text)

    def test_idle_is_memory(self):
        self.ours.runs = [told(0, 0, server_rss_bytes_per_connection=1000.0)]
        self.theirs.runs = [told(0, 0, server_rss_bytes_per_connection=2500.0)]
        _, rows = self.rows("idle")
        self.assertIn("| 2,500 | 2.50 |", rows[1])


if __name__ == "__main__":
    unittest.main()
