#!/usr/bin/env python3
"""Plants a violation of every rule of tools/tidy.py and expects it to be found, and only it.

Each case is (what is planted, path, text, rule, line). The clean cases must give nothing: a check
that cries wolf is switched off by people, and then it is worth nothing.
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import tidy  # noqa: E402

HEAD = "/* A file.\n *\n * Thread: any.  Memory: none. */\n"


def header(path, body):
    guard = path[4:].upper().replace("/", "_").replace(".", "_")
    return HEAD + f"#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


def function(body, head="void f(void)"):
    return f"{head}\n{{\n{body}\n}}\n"


def long_function(lines):
    return function("\n".join(["    g();"] * (lines - 3)))


T = "TO" + "DO"

PLANTED = [
    ("an unfinished mark", "src/base/a.c", f"/* {T}: more */\n", "marker", 1),
    ("an unfinished mark in a document", "docs/a.md", "x\n" + "FIX" + "ME\n", "marker", 2),
    ("a path of a machine", "docs/a.md", "see " + "/wo" + "rk/main\n", "machine-path", 1),
    ("a path of a home", "tools/a.sh", "cd " + "/ho" + "me/ann/src\n", "machine-path", 1),
    ("a temporary path", "test/a.mjs", "open('" + "/t" + "mp/x')\n", "machine-path", 1),
    ("a registry", "a.json", "https://registry." + "npmjs.org/ws\n", "registry", 1),
    ("a dead link", "docs/a.md", "x\n[b](b.md)\n", "link", 2),
    ("trailing blanks", "docs/a.md", "x \n", "space", 1),
    ("no last newline", "docs/a.md", "x", "space", 1),
    ("a long line", "src/base/a.c", "/* " + "x" * 100 + " */\n", "columns", 1),
    ("a long line of TypeScript", "sdk/js/src/a.ts", "// " + "x" * 100 + "\n", "columns", 1),
    ("a long file of TypeScript", "sdk/js/src/a.ts", "f();\n" * 801, "file-size", 1),
    ("a long file", "src/base/a.c", "int x;\n" * 801, "file-size", 1),
    ("an unknown module", "src/misc/a.c", "int x;\n", "layer", 1),
    ("an upward include", "src/wire/a.c", '#include "core/b.h"\n', "layer", 1),
    ("a sideways include", "src/core/a.c", '#include "wire/b.h"\n', "layer", 1),
    ("an include without module", "src/core/a.c", '#include "b.h"\n', "layer", 1),
    ("a system header in the heart", "src/log/a.c", "#include <unistd.h>\n", "heart", 1),
    ("a sys/ header in the heart", "src/wire/a.c", "#include <sys/socket.h>\n", "heart", 1),
    ("a clock in the heart", "src/core/a.c", function("    clock_gettime(0, &t);"), "heart", 3),
    ("a read in the heart", "src/log/a.c", function("    n = read(fd, to, 1);"), "heart", 3),
    ("a random number in the heart", "src/session/a.c", function("    x = getrandom(to, 8, 0);"),
     "heart", 3),
    ("a print in the heart", "src/wire/a.c", function('    (void)printf("x");'), "heart", 3),
    ("a system header before ours", "src/base/a.c", '#include <stdio.h>\n#include "base/b.h"\n',
     "include-order", 2),
    ("ours not alphabetical", "src/log/a.c", '#include "log/c.h"\n#include "log/b.h"\n',
     "include-order", 2),
    ("system ones not alphabetical", "src/io/a.c", "#include <string.h>\n#include <stdio.h>\n",
     "include-order", 2),
    ("the own header not first", "src/log/b.c", '#include "log/a.h"\n#include "log/b.h"\n',
     "include-order", 2),
    ("a header without a comment", "src/base/a.h",
     "#ifndef BASE_A_H\n#define BASE_A_H\n#endif\n", "head-comment", 1),
    ("a header without Thread", "src/base/a.h",
     "/* A. Memory: none. */\n#ifndef BASE_A_H\n#define BASE_A_H\n#endif\n", "head-comment", 1),
    ("a header without Memory", "src/base/a.h",
     "/* A. Thread: any. */\n#ifndef BASE_A_H\n#define BASE_A_H\n#endif\n", "head-comment", 1),
    ("a wrong guard", "src/base/a.h", HEAD + "#ifndef A_H\n#define A_H\n#endif\n",
     "head-comment", 1),
    ("a long function", "src/base/a.c", long_function(71), "function-size", 1),
    ("a recursion", "src/base/a.c", function("    if (x) {\n        f();\n    }"), "recursion", 1),
    ("four levels", "src/base/a.c",
     function("    if (a) {\n    for (;;) {\n    while (b) {\n    if (c) {\n    }\n    }\n    }\n"
              "    }"), "nesting", 6),
    ("a goto backwards", "src/base/a.c", function("again:\n    g();\n    goto again;"), "goto", 5),
    ("malloc", "src/io/a.c", function("    p = malloc(1);"), "banned", 3),
    ("memcpy", "src/wire/a.c", function("    (void)memcpy(a, b, 1);"), "banned", 3),
    ("strcpy", "src/io/a.c", function("    strcpy(a, b);"), "banned", 3),
    ("sprintf", "src/io/a.c", function('    sprintf(a, "x");'), "banned", 3),
    ("strtol", "src/server/a.c", function("    return strtol(a, b, 10);"), "banned", 3),
    ("time", "src/io/a.c", function("    x = time(NULL);"), "banned", 3),
    ("rand", "src/io/a.c", function("    x = rand();"), "banned", 3),
    ("sprintf in a test", "test/unit/base/test_a.c", function('    sprintf(a, "x");'), "banned",
     3),
    ("malloc in a bench", "bench/a.c", function("    p = malloc(1);"), "banned", 3),
    ("an if without braces", "src/base/a.c", function("    if (x)\n        g();"), "braces", 3),
    ("an if on one line", "src/base/a.c", function("    if (x) return;"), "braces", 3),
    ("a for without braces", "src/base/a.c", function("    for (;;)\n        g();"), "braces", 3),
    ("an else without braces", "src/base/a.c",
     function("    if (x) {\n        g();\n    } else\n        h();"), "braces", 5),
    ("a typedef'd struct", "src/base/a.c", "typedef struct a {\n    int x;\n} a_t;\n", "typedef",
     1),
    ("a typedef'd enum", "src/base/a.c", "typedef enum a a_t;\n", "typedef", 1),
    ("an atomic in core", "src/core/a.c", "_Atomic int x;\n", "atomics", 1),
    ("an atomic in io", "src/io/a.c",
     function("    atomic_store_explicit(&x, 1, memory_order_relaxed); /* relaxed: why */"),
     "atomics", 3),
    ("an atomic of the implicit kind", "src/ring/a.c", function("    x = atomic_load(&y);"),
     "atomics", 3),
    ("a release without a label", "src/ring/a.c",
     function("    /* It pairs with the other. */\n"
              "    atomic_store_explicit(&x, 1, memory_order_release);"), "atomics", 4),
    ("an acquire without a partner", "src/ring/a.c",
     function("    /* S1: acquire. */\n    y = atomic_load_explicit(&x, memory_order_acquire);"),
     "atomics", 4),
    ("a relaxed without a reason", "src/ring/a.c",
     function("    y = atomic_load_explicit(&x, memory_order_relaxed);"), "atomics", 3),
    ("a default over an enum", "src/base/a.c",
     "enum e { E_ONE, E_TWO };\n"
     + function("    switch (e) {\n    case E_ONE: break;\n    default: break;\n    }"),
     "switch-default", 6),
    ("a default over an enum made by a macro", "src/base/a.c",
     "enum e {\n#define X(n) E_##n,\n    LIST(X)\n};\n"
     + function("    switch (e) {\n    case E_ONE: break;\n    default: break;\n    }"),
     "switch-default", 9),
]

CLEAN = [
    ("a header", "src/base/a.h", header("src/base/a.h", "void f(void);\n")),
    ("words in comments and strings", "src/wire/a.c",
     function('    /* malloc() and read() */\n    g("rand() strcpy(a, b)");')),
    ("members named like system calls", "src/log/a.c",
     function("    rc = storage->ops->read(ctx);\n    ops.write(ctx);")),
    ("a declared member", "src/log/a.h",
     header("src/log/a.h", "struct s {\n    int (*open)(void *ctx);\n};\n")),
    ("an allowed include", "src/session/a.c", '#include "core/a.h"\n#include "wire/b.h"\n'),
    ("the own header first", "src/log/b.c", '#include "log/b.h"\n\n#include "base/c.h"\n'),
    ("seventy lines", "src/base/a.c", long_function(70)),
    ("three levels", "src/base/a.c",
     function("    if (a) {\n    for (;;) {\n    while (b) {\n    }\n    }\n    }")),
    ("a forward goto", "src/base/a.c", function("    goto fail;\nfail:\n    g();")),
    ("a guarded assertion", "src/base/a.c", function("    if (x) ASSERT(y);")),
    ("a do-while", "src/base/a.c", function("    do {\n        g();\n    } while (x);")),
    ("a macro of the preprocessor", "src/base/a.c", "#if defined(X)\n#else\n#endif\n"),
    ("a labelled release", "src/ring/a.c",
     function("    /* S1: release, pairs with S2 in g(). */\n"
              "    atomic_store_explicit(&x, 1, memory_order_release);")),
    ("a reasoned relaxed", "src/ring/a.c",
     function("    /* relaxed: no other thread writes it. */\n"
              "    y = atomic_load_explicit(&x, memory_order_relaxed);")),
    ("a default over characters", "src/wire/a.c",
     function("    switch (c) {\n    case 'a': break;\n    default: break;\n    }")),
    ("malloc in a test", "test/unit/base/test_a.c", function("    p = malloc(1);")),
    ("links to itself and elsewhere", "docs/a.md", "[a](a.md#b) [c](https://example.org/c.md)\n"),
    ("an exception with a reason", "src/base/mem.c", function("    return malloc(1);")),
]


class Planted(unittest.TestCase):
    def findings(self, path, text):
        source = tidy.Source(path, text)
        return tidy.check_all(None, [source], with_tools=False)

    def test_every_planted_violation_is_found(self):
        for what, path, text, rule, line in PLANTED:
            with self.subTest(what):
                found = [(f.rule, f.line) for f in self.findings(path, text)]
                self.assertIn((rule, line), found)
                self.assertEqual({r for r, _ in found}, {rule})

    def test_clean_files_give_no_finding(self):
        for what, path, text in CLEAN:
            with self.subTest(what):
                self.assertEqual([str(f) for f in self.findings(path, text)], [])

    def test_every_rule_has_a_planted_violation(self):
        text = pathlib.Path(tidy.__file__).read_text(encoding="utf-8")
        rules = set()
        for call in ('source.finding(', 'Finding('):
            for piece in text.split(call)[1:]:
                arguments = piece[:120].split('"')
                if len(arguments) > 1 and arguments[1].replace("-", "").isalpha():
                    rules.add(arguments[1])
        with_tools = {"format", "header-alone", "exception", "assertions"}
        self.assertGreater(len(rules), 20)
        self.assertEqual(rules - with_tools, {p[3] for p in PLANTED})

    def test_a_module_with_too_few_assertions_is_found(self):
        module, least = "core", tidy.ASSERTIONS_LEAST["core"]
        path = f"src/{module}/a.c"
        asserts = "    ASSERT(x);\n" * int(least) + "    g();"
        good = tidy.Source(path, function(asserts))
        bad = tidy.Source(path, function("    ASSERT(x);\n    g();"))
        self.assertEqual(list(tidy.check_assertions([good])), [])
        self.assertEqual([f.rule for f in tidy.check_assertions([bad])], ["assertions"])
        self.assertEqual([f.rule for f in tidy.check_assertions([good, bad])], ["assertions"])

    def test_an_exception_that_is_not_needed_is_found(self):
        found = self.findings("src/base/mem.c", "int x;\n")
        self.assertEqual([f.rule for f in found], ["exception"])


class WithTools(unittest.TestCase):
    """The checks that run a compiler or clang-format, and the program itself."""

    def run_tidy(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            config = pathlib.Path(tidy.__file__).parent.parent / ".clang-format"
            (root / ".clang-format").write_text(config.read_text(encoding="utf-8"))
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            subprocess.run(["git", "init", "-q"], cwd=root, check=True)
            return subprocess.run([sys.executable, tidy.__file__, "--root", folder],
                                  capture_output=True, text=True, check=False)

    def test_a_clean_tree_passes(self):
        good = header("src/base/a.h", "#include <stdint.h>\n\nuint8_t f(void);\n")
        answer = self.run_tidy({"src/base/a.h": good})
        self.assertEqual(answer.returncode, 0, answer.stdout)

    def test_a_header_that_does_not_compile_alone_is_found(self):
        bad = header("src/base/a.h", "uint8_t f(void);\n")
        answer = self.run_tidy({"src/base/a.h": bad})
        self.assertEqual(answer.returncode, 1)
        self.assertIn("src/base/a.h:1: header-alone:", answer.stdout)

    def test_bad_format_is_found(self):
        answer = self.run_tidy({"src/base/a.c": "int  x;\n"})
        self.assertEqual(answer.returncode, 1)
        self.assertIn("src/base/a.c:1: format:", answer.stdout)


if __name__ == "__main__":
    unittest.main()
