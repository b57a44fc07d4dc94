#!/usr/bin/env python3
"""What tools/perf-gate says of counts: the judgement itself, without counting anything."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader(
    "perf_gate", str(pathlib.Path(__file__).resolve().parent / "perf-gate"))
GATE = importlib.util.module_from_spec(importlib.util.spec_from_loader("perf_gate", LOADER))
LOADER.exec_module(GATE)


class Judge(unittest.TestCase):
    def verdict(self, now, then=1000.0):
        return GATE.judge({"a": now}, {"a": then})[0][3]

    def test_three_percent_to_either_side_is_allowed(self):
        for now in (970.1, 999.0, 1000.0, 1001.0, 1029.9):
            self.assertEqual(self.verdict(now), "ok", now)

    def test_more_is_slower(self):
        for now in (1030.1, 1100.0, 2000.0):
            self.assertTrue(self.verdict(now).startswith("SLOWER"), now)

    def test_fewer_wants_a_new_baseline(self):
        for now in (969.9, 500.0, 1.0):
            self.assertTrue(self.verdict(now).startswith("faster"), now)

    def test_a_path_that_the_baseline_does_not_know_is_no_good(self):
        self.assertEqual([x[3] for x in GATE.judge({"a": 1, "b": 1}, {"a": 1})],
                         ["ok", "not in the baseline"])

    def test_a_path_that_has_gone_is_no_good(self):
        self.assertEqual([x[3] for x in GATE.judge({"a": 1}, {"a": 1, "b": 1})],
                         ["ok", "in the baseline only"])


class MadeWith(unittest.TestCase):
    made = {"compiler": "gcc 12.2.0", "libc": "glibc 2.36"}

    def test_the_same_is_no_difference(self):
        self.assertEqual(GATE.differences(self.made, dict(self.made)), [])

    def test_another_compiler_is_told(self):
        found = GATE.differences(self.made, {**self.made, "compiler": "gcc 14.2.0"})
        self.assertEqual(len(found), 1)
        self.assertIn("gcc 14.2.0", found[0])
        self.assertIn("gcc 12.2.0", found[0])


class Gate(unittest.TestCase):
    """The whole of it over counts that are given."""

    def gate(self, now, made=None, plant_noticed=True, baseline=None):
        made_then = {"compiler": "gcc 12.2.0"}
        baseline = baseline or {GATE.PLANTED: 100.0, "b": 10.0}
        units = {GATE.PLANTED: ("frame", 2), "b": ("message", 1)}
        GATE.build = lambda: None
        GATE.paths = lambda: units
        GATE.made_with = lambda: made or made_then
        GATE.shutil.which = lambda name: name
        GATE.count = lambda name, *options: (now[name] * units[name][1] *
                                             (2 if options and plant_noticed else 1))
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
            GATE.BASELINE = pathlib.Path(folder) / "baseline.json"
            GATE.BASELINE.write_text(json.dumps({"made_with": made_then,
                                                 "instructions": baseline}))
            options = type("Options", (), {"accept": False, "plant": None})
            status = GATE.gate(options)
        return status, said.getvalue()

    def test_equal_counts_pass(self):
        status, said = self.gate({GATE.PLANTED: 100.0, "b": 10.0})
        self.assertEqual(status, 0)
        self.assertIn("checks: 3 passed, 0 failed\n", said)

    def test_one_slow_path_fails_and_says_how_to_accept_it(self):
        status, said = self.gate({GATE.PLANTED: 100.0, "b": 10.4})
        self.assertEqual(status, 1)
        self.assertIn("make perf-baseline", said)
        self.assertIn("checks: 2 passed, 1 failed\n", said)

    def test_a_slowdown_that_is_not_noticed_fails(self):
        status, said = self.gate({GATE.PLANTED: 100.0, "b": 10.0}, plant_noticed=False)
        self.assertEqual(status, 1)
        self.assertIn("NOT NOTICED", said)

    def test_another_compiler_is_skipped_not_passed(self):
        status, said = self.gate({GATE.PLANTED: 1.0, "b": 1.0}, made={"compiler": "gcc 14.2.0"})
        self.assertEqual(status, 0)
        self.assertIn("checks: 0 passed, 0 failed, 3 skipped\n", said)


if __name__ == "__main__":
    unittest.main()
