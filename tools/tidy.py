#!/usr/bin/env python3
"""Checks the rules of the house style that a program can check.

    tools/tidy.py [--root DIR] [--report] [--no-tools]

Prints one line per finding, `path:line: rule: what`, and exits with 1 if there is any. `--report`
adds the density of assertions by module; some modules must keep theirs. `--no-tools` leaves out
what needs a compiler or clang-format. tools/test_tidy.py plants a violation of every rule and
expects it to be found.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys

# What each module may include, beside itself. The heart makes no system call.
LAYERS = {
    "base": set(),
    "ring": {"base"},
    "wire": {"base"},
    "log": {"base"},
    "core": {"base", "log"},
    "session": {"base", "wire", "core"},
    "io": {"base", "ring", "log"},  # log: io/disk implements log/storage.h
    "engine": {"base", "ring", "log"},
    "server": {"base", "ring", "wire", "log", "core", "session", "io", "engine"},
    "client": {"base", "wire"},
    "sdk": {"base", "ring", "wire", "log", "io", "client"},  # log: log/storage.h
    "bench": {"base", "wire", "client"},
    "cli": {"base", "ring", "wire", "log", "core", "session", "io", "server", "client", "sdk",
            "bench"},
}
HEART = {"wire", "log", "core", "session"}
ATOMICS_ALLOWED = re.compile(r"^src/(ring/|base/stats\.[ch]$)")

FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100
FILE_LINES_MAX = 800
NESTING_MAX = 3

# Assertions a function, over a module as a whole.
ASSERTIONS_LEAST = {"wire": 2.0, "log": 2.0, "core": 2.0, "session": 2.0}

# Exceptions: (rule, path): why. One that is not needed any more is a finding itself.
EXCEPTIONS = {
    ("banned", "src/base/mem.c"): "the one door to the heap, and below base/bytes.h",
    ("banned", "src/base/bytes.h"): "bytes_copy() and its kin are made of these",
}

BANNED = {
    "malloc": "mem_alloc() of base/mem.h",
    "calloc": "mem_calloc() of base/mem.h",
    "realloc": "mem_realloc() of base/mem.h",
    "free": "mem_free() of base/mem.h",
    "strdup": "mem_strdup() of base/mem.h",
    "strndup": "mem_strdup() of base/mem.h",
    "alloca": "a bounded array or base/mem.h",
    "memcpy": "bytes_copy() of base/bytes.h",
    "memmove": "bytes_move() of base/bytes.h",
    "memset": "bytes_zero() of base/bytes.h",
    "strcpy": "bytes_copy() or snprintf()",
    "strncpy": "bytes_copy() or snprintf()",
    "strcat": "struct buf",
    "strncat": "struct buf",
    "sprintf": "snprintf()",
    "vsprintf": "vsnprintf()",
    "gets": "a bounded read",
    "scanf": "a parser that checks every byte",
    "sscanf": "a parser that checks every byte",
    "strtol": "a parser that checks every byte and the range",
    "strtoul": "a parser that checks every byte and the range",
    "strtoll": "a parser that checks every byte and the range",
    "strtoull": "a parser that checks every byte and the range",
    "strtod": "a parser that checks every byte and the range",
    "atoi": "a parser that checks every byte and the range",
    "atol": "a parser that checks every byte and the range",
    "strtok": "struct bytes",
    "time": "struct clock",
    "rand": "struct prng",
    "srand": "struct prng",
    "random": "struct prng",
    "asctime": "our own formatting",
    "ctime": "our own formatting",
    "gmtime": "gmtime_r()",
    "localtime": "localtime_r()",
}
# Tests may take memory as they like; what can overrun or guess is banned there as well.
BANNED_IN_TESTS = {"strcpy", "strncpy", "strcat", "strncat", "sprintf", "vsprintf", "gets", "scanf",
                   "sscanf", "strtok", "alloca", "rand", "srand", "random"}

SYSTEM_CALLS = set("""
open openat creat close read pread readv write pwrite writev lseek fsync fdatasync sync truncate
ftruncate fallocate posix_fallocate rename renameat unlink remove mkdir rmdir opendir readdir stat
fstat lstat flock fcntl ioctl mmap munmap msync pipe pipe2 dup dup2 eventfd timerfd_create signalfd
socket socketpair bind listen accept accept4 connect shutdown send sendto sendmsg recv recvfrom
recvmsg setsockopt getsockopt getaddrinfo poll ppoll select epoll_create1 epoll_ctl epoll_wait
syscall fork execve execvp kill raise signal sigaction getpid gettid getenv setenv exit _exit
clock_gettime gettimeofday time nanosleep usleep sleep clock_nanosleep
getrandom getentropy rand srand random drand48 RAND_bytes
fopen fdopen fclose fread fwrite fgets fputs puts printf fprintf vfprintf perror
pthread_create pthread_join pthread_mutex_lock pthread_mutex_unlock thrd_create mtx_lock
""".split())
HEART_SYSTEM_HEADERS = re.compile(
    r"^(unistd|fcntl|pthread|threads|time|signal|poll|netdb|dirent|stdatomic|liburing)\.h$"
    r"|^(sys|netinet|arpa|linux)/")

# Written in pieces, so that this file does not find itself.
MARKERS = re.compile(
    r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MACHINE_PATHS = re.compile(
    r"(?<![\w.$}])/("
    + "|".join(["wo" + "rk", "ro" + "ot", "fa" + "rm", "ho" + r"me/\w+", "t" + "mp"])
    + r")(/|\b)")
REGISTRIES = re.compile(r"registry\." + r"(npmjs|yarnpkg)|(pypi|crates)\." + r"(org|io)")

TEXT_SUFFIXES = {".c", ".h", ".py", ".sh", ".js", ".mjs", ".ts", ".html", ".md", ".build", ".txt",
                 ".yml", ".yaml", ".json", ""}
KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "do", "else", "case", "defined"}


class Finding:
    def __init__(self, path, line, rule, text):
        self.path, self.line, self.rule, self.text = path, line, rule, text

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


# ---- a little C ---------------------------------------------------------------------------------

C_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def code_only(text):
    """The text with comments, strings and characters blanked; lines and columns stay."""
    return C_TOKEN.sub(lambda m: blank(m.group(0)) if m.group(0)[0] == "/"
                       else m.group(0)[0] + blank(m.group(0)[1:-1]) + m.group(0)[-1], text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


class Function:
    def __init__(self, name, first, begin, end, body):
        self.name, self.first, self.begin, self.end, self.body = name, first, begin, end, body


def functions_of(code):
    """Definitions, as clang-format lays them out: `{` and `}` alone in column one."""
    lines = code.split("\n")
    found = []
    i = 0
    while i < len(lines):
        if lines[i].rstrip() != "{":
            i += 1
            continue
        first = i - 1
        while first > 0 and lines[first - 1].strip() != "" and lines[first - 1][:1] not in "}#":
            first -= 1
        head = " ".join(lines[first:i])
        # An attribute in front has parentheses too: the name is what the last ones belong to.
        names = re.findall(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)\)?", " ", head))
        end = i
        while end < len(lines) and lines[end].rstrip() != "}":
            end += 1
        if names:
            body = "\n".join(lines[i:end + 1])
            found.append(Function(names[0], first + 1, i + 1, end + 1, body))
        i = end + 1
    return found


def matching(code, position):
    """The position behind the parenthesis or brace that closes the one at `position`."""
    pairs = {"(": ")", "{": "}"}
    opener, closer = code[position], pairs[code[position]]
    depth = 0
    for i in range(position, len(code)):
        if code[i] == opener:
            depth += 1
        elif code[i] == closer:
            depth -= 1
            if depth == 0:
                return i + 1
    return len(code)


class Source:
    def __init__(self, path, text):
        self.path, self.text = path, text
        self.lines = text.split("\n")
        parts = path.split("/")
        self.module = parts[1] if parts[0] == "src" and len(parts) > 2 else None
        self.is_c = path.endswith((".c", ".h"))
        self.code = code_only(text) if self.is_c else text
        self.functions = functions_of(self.code) if self.is_c else []

    def finding(self, line, rule, text):
        return Finding(self.path, line, rule, text)


# ---- rules of every text file -------------------------------------------------------------------

def check_text(source):
    for number, line in enumerate(source.lines, 1):
        if MARKERS.search(line):
            yield source.finding(number, "marker", "unfinished work: open an issue instead")
        if MACHINE_PATHS.search(line) and not line.startswith("#!"):
            yield source.finding(number, "machine-path", "a path of some machine")
        if REGISTRIES.search(line):
            yield source.finding(number, "registry", "a package registry's host")
        if line != line.rstrip():
            yield source.finding(number, "space", "blanks at the end of the line")
        limited = source.is_c or source.path.endswith((".py", ".mjs", ".js", ".ts", ".html",
                                                       ".sh"))
        if limited and len(line) > LINE_COLUMNS_MAX:
            yield source.finding(number, "columns", f"{len(line)} > {LINE_COLUMNS_MAX}")
    if source.text and not source.text.endswith("\n"):
        yield source.finding(len(source.lines), "space", "no newline at the end of the file")
    limited = source.path.startswith(("src/", "test/", "bench/", "tools/", "sdk/",
                                              "examples/"))
    if limited and len(source.lines) - 1 > FILE_LINES_MAX and not source.path.endswith(".json"):
        yield source.finding(1, "file-size", f"{len(source.lines) - 1} lines > {FILE_LINES_MAX}")


# ---- rules of C ---------------------------------------------------------------------------------

def includes_of(source):
    for number, line in enumerate(source.lines, 1):
        match = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if match:
            yield number, match.group(1), match.group(2)


def check_layers(source):
    if source.module is None:
        return
    if source.module not in LAYERS:
        yield source.finding(1, "layer", f"src/{source.module} is not in the table of modules")
        return
    for number, own, system in includes_of(source):
        if own is not None:
            target = own.split("/")[0]
            if "/" not in own or target not in LAYERS:
                yield source.finding(number, "layer", f'"{own}" is not "module/file.h"')
            elif target != source.module and target not in LAYERS[source.module]:
                yield source.finding(number, "layer", f"{source.module} may not use {target}")
        elif source.module in HEART and HEART_SYSTEM_HEADERS.search(system):
            yield source.finding(number, "heart", f"<{system}>: the heart makes no system call")


def check_include_order(source):
    """Blocks: own header, ours, system; each alphabetical; nothing goes back."""
    if not source.path.startswith(("src/", "bench/")):
        return
    own_name = source.path[len("src/"):-2] + ".h"
    ranks = []
    for number, own, system in includes_of(source):
        is_own = own == own_name and source.path.endswith(".c")
        # A header without a folder stands beside the program (bench): its own.
        is_own = is_own or (own is not None and "/" not in own)
        rank = 0 if is_own else 1 if own else 2
        ranks.append((rank, own or system, number))
    for (rank_a, name_a, _), (rank_b, name_b, number) in zip(ranks, ranks[1:]):
        if rank_b < rank_a:
            yield source.finding(number, "include-order", f"{name_b} comes before {name_a}")
        elif rank_b == rank_a and name_b < name_a and not sorted_with_reason(source, number):
            yield source.finding(number, "include-order", f"{name_b} comes before {name_a}")


def sorted_with_reason(source, number):
    """A comment right above an include says why it stands there."""
    return number >= 2 and source.lines[number - 2].rstrip().endswith("*/")


def check_header_comment(source):
    if not source.path.endswith(".h") or not source.path.startswith("src/"):
        return
    match = re.match(r"/\*.*?\*/", source.text, re.DOTALL)
    if match is None:
        yield source.finding(1, "head-comment", "a header begins with a comment")
        return
    for word in ("Thread:", "Memory:"):
        if word not in match.group(0):
            yield source.finding(1, "head-comment", f"the head comment has no {word}")
    guard = source.path[len("src/"):].upper().replace("/", "_").replace(".", "_")
    if f"#ifndef {guard}\n#define {guard}\n" not in source.text:
        yield source.finding(1, "head-comment", f"the include guard is {guard}")


def check_functions(source):
    for function in source.functions:
        size = function.end - function.first + 1
        if size > FUNCTION_LINES_MAX:
            yield source.finding(function.first, "function-size",
                                 f"{function.name}() has {size} lines > {FUNCTION_LINES_MAX}")
        if re.search(r"(?<![\w.>])" + re.escape(function.name) + r"\s*\(", function.body):
            yield source.finding(function.first, "recursion", f"{function.name}() calls itself")
        yield from check_nesting(source, function)
        yield from check_gotos(source, function)


def check_nesting(source, function):
    """Control blocks inside one another; a switch's cases add nothing."""
    if not source.path.startswith(("src/", "bench/")):
        return
    stack = []
    for match in re.finditer(r"(?P<control>(?:\)|\belse|\bdo) \{)|(?P<open>\{)|(?P<close>\})",
                             function.body):
        if match.group("close"):
            if stack:
                stack.pop()
            continue
        stack.append(bool(match.group("control")))
        if sum(stack) > NESTING_MAX and match.group("control"):
            line = function.begin + function.body.count("\n", 0, match.start())
            yield source.finding(line, "nesting", f"deeper than {NESTING_MAX} levels")


def check_gotos(source, function):
    for match in re.finditer(r"\bgoto (\w+);", function.body):
        label = re.search(r"^" + match.group(1) + r":", function.body, re.MULTILINE)
        line = function.begin + function.body.count("\n", 0, match.start())
        if label is None or label.start() < match.start():
            yield source.finding(line, "goto", f"goto {match.group(1)} does not go forward")


def calls_of(code):
    """(position, name) of what looks like a call of a plain function."""
    for match in re.finditer(r"(?<![\w.])(?<!->)\b([A-Za-z_]\w*)\s*\(", code):
        if match.group(1) not in KEYWORDS:
            yield match.start(1), match.group(1)


def is_declaration(code, position):
    """`int read(` declares, `x = read(` calls: a type word stands right before a declared name."""
    before = code[:position].rstrip(" ")
    word = re.search(r"([A-Za-z_]\w*)[ *]*$", before)
    return word is not None and before[-1:] not in "(,;{}=!&|" and word.group(1) not in KEYWORDS


def check_banned(source):
    in_src = source.path.startswith(("src/", "bench/"))
    for position, name in calls_of(source.code):
        if name not in BANNED or not (in_src or name in BANNED_IN_TESTS):
            continue
        if not is_declaration(source.code, position):
            line = line_of(source.code, position)
            yield source.finding(line, "banned", f"{name}(): use {BANNED[name]}")


def check_heart(source):
    if source.module not in HEART:
        return
    for position, name in calls_of(source.code):
        if name in SYSTEM_CALLS and not is_declaration(source.code, position):
            line = line_of(source.code, position)
            yield source.finding(line, "heart", f"{name}(): it comes in through an interface")


def check_braces(source):
    for match in re.finditer(r"(?<![\w#])\b(if|for|while)\s*\(", source.code):
        line = line_of(source.code, match.start())
        # #if and multi-line macros are the preprocessor's.
        if re.match(r"\s*#", source.lines[line - 1]) or source.lines[line - 1].endswith("\\"):
            continue
        end = matching(source.code, match.end() - 1)
        rest = source.code[end:].lstrip()
        # `} while (0)` at the end of a macro has no semicolon; a loop never follows on that line.
        is_do_while = source.lines[line - 1].lstrip().startswith("} while")
        if rest.startswith("{") or is_do_while:
            continue
        if match.group(1) == "if" and re.match(r"ASSERT(_HOT)?\b", rest):
            continue
        yield source.finding(line, "braces", f"{match.group(1)} without braces")
    for match in re.finditer(r"(?<![\w#])\belse\b(?!\s*(\{|if\b))", source.code):
        line = line_of(source.code, match.start())
        if not re.match(r"\s*#", source.lines[line - 1]):
            yield source.finding(line, "braces", "else without braces")


def check_typedefs(source):
    if not source.path.startswith(("src/", "bench/")):
        return
    for match in re.finditer(r"\btypedef\s+(struct|union|enum)\b", source.code):
        # A function type that returns a struct is no typedef'd struct.
        statement = source.code[match.start():source.code.find(";", match.start())]
        if "{" in statement or "(" not in statement:
            line = line_of(source.code, match.start())
            yield source.finding(line, "typedef", f"typedef'd {match.group(1)}")


ATOMIC = re.compile(r"\b(_Atomic|atomic_\w+|__atomic_\w+|__sync_\w+|memory_order_\w+)\b")
ATOMIC_PLAIN = re.compile(r"\batomic_(load|store|exchange|compare_exchange_\w+|fetch_\w+?)(?!\w)")


def comment_above(source, line):
    """The text of this line and of the lines above it, back to an empty line or 10 lines."""
    first = line - 1
    while first > 0 and line - first < 10 and source.lines[first - 1].strip() != "":
        first -= 1
    return "\n".join(source.lines[first:line])


def check_atomics(source):
    if source.module is None:
        return
    allowed = ATOMICS_ALLOWED.match(source.path)
    for number, line in enumerate(source.code.split("\n"), 1):
        if ATOMIC.search(line) is None:
            continue
        if not allowed:
            yield source.finding(number, "atomics", "atomics live in src/ring and base/stats only")
            continue
        plain = ATOMIC_PLAIN.search(line)
        if plain and not plain.group(0).endswith("_explicit"):
            yield source.finding(number, "atomics", f"{plain.group(0)}: the _explicit form only")
        above = comment_above(source, number)
        if re.search(r"memory_order_(acquire|release|acq_rel|seq_cst)", line):
            if not re.search(r"\b[A-Z]\d+: ", above) or "pairs with" not in above:
                yield source.finding(number, "atomics",
                                     "acquire and release carry a label and name their partner")
        if "memory_order_relaxed" in line and "relaxed" not in above.replace("order_relaxed", ""):
            yield source.finding(number, "atomics", "a relaxed access says why it suffices")


def enum_constants(sources):
    """Names of enum constants, and the prefixes of those made by X-macros."""
    names, prefixes = set(), set()
    for source in sources:
        if not source.is_c:
            continue
        for match in re.finditer(r"\benum\s*\w*\s*\{(.*?)\}", source.code, re.DOTALL):
            names.update(re.findall(r"\b([A-Z][A-Z0-9_]+)\b", match.group(1)))
            prefixes.update(re.findall(r"\b([A-Z][A-Z0-9_]*_)##", match.group(1)))
    return names, prefixes


def check_switches(source, names, prefixes):
    if not source.path.startswith(("src/", "bench/")):
        return
    for match in re.finditer(r"\bswitch\s*\(", source.code):
        open_at = source.code.find("{", matching(source.code, match.end() - 1))
        body = source.code[open_at:matching(source.code, open_at)]
        # Switches inside belong to themselves.
        inner = re.search(r"\bswitch\s*\(", body)
        own = body[:inner.start()] if inner else body
        labels = re.findall(r"\bcase\s+([A-Z][A-Z0-9_]+)\s*:", own)
        is_enum = any(x in names or x.startswith(tuple(prefixes or {"\0"})) for x in labels)
        default = re.search(r"\bdefault\s*:", own)
        if is_enum and default:
            line = line_of(source.code, open_at + default.start())
            yield source.finding(line, "switch-default", "no default in a switch over an enum")


C_CHECKS = [check_layers, check_include_order, check_header_comment, check_functions, check_banned,
            check_heart, check_braces, check_typedefs, check_atomics]


def check_links(source, paths):
    """A document's links into the tree lead somewhere."""
    if not source.path.endswith(".md"):
        return
    folder = source.path.rpartition("/")[0]
    for number, line in enumerate(source.lines, 1):
        for target in re.findall(r"\]\(([^)#\s]+)", line):
            if re.match(r"[a-z]+:", target):
                continue
            path = os.path.normpath(os.path.join(folder, target))
            if path not in paths and not any(p.startswith(path + "/") for p in paths):
                yield source.finding(number, "link", f"{target} is not there")


# ---- rules that need tools ----------------------------------------------------------------------

def run(command, root):
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def compile_flags():
    flags = ["-std=gnu17", "-D_GNU_SOURCE", '-DSERIATIM_VERSION="0"', "-Isrc", "-Iinclude",
             "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c"]
    for package in ("libcrypto", "jansson", "libfyaml"):
        answer = run(["pkg-config", "--cflags", package], ".")
        flags += shlex.split(answer.stdout) if answer.returncode == 0 else []
    return flags


def check_headers_alone(root, sources):
    headers = [s for s in sources if s.path.startswith("src/") and s.path.endswith(".h")]
    flags = compile_flags()
    compiler = os.environ.get("CC", "gcc")

    def one(source):
        with subprocess.Popen([compiler, *flags, "-"], cwd=root, stdin=subprocess.PIPE, text=True,
                              stderr=subprocess.PIPE) as process:
            _, errors = process.communicate(f'#include "{source.path[4:]}"\n')
        return source, process.returncode, errors

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, code, errors in pool.map(one, headers):
            if code != 0:
                first = next((x for x in errors.split("\n") if "error" in x), errors)
                yield source.finding(1, "header-alone", f"does not compile alone: {first}")


def check_format(root, sources):
    paths = [s.path for s in sources if s.is_c]
    for i in range(0, len(paths), 20):
        answer = run(["clang-format", "--dry-run", "-Werror", *paths[i:i + 20]], root)
        seen = set()
        for line in answer.stderr.split("\n"):
            match = re.match(r"(.+?):(\d+):\d+: error:", line)
            if match and match.group(1) not in seen:
                seen.add(match.group(1))
                yield Finding(match.group(1), int(match.group(2)), "format", "run make format")
        if answer.returncode != 0 and "error:" not in answer.stderr:
            yield Finding(paths[i], 1, "format", answer.stderr.strip())


# ---- the whole ----------------------------------------------------------------------------------

def tree_files(root):
    """What git knows or would add; without git (a release archive) every file."""
    answer = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], root)
    if answer.returncode == 0:
        names = [x for x in answer.stdout.split("\0") if x]
    else:
        names = [str(p.relative_to(root)) for p in pathlib.Path(root).rglob("*")
                 if ".git" not in p.parts and not p.parts[len(root.parts)].startswith("build")]
    return sorted(set(names))


def load(root):
    sources = []
    for name in tree_files(root):
        path = root / name
        if path.suffix not in TEXT_SUFFIXES or not path.is_file() or "/corpus/" in name:
            continue
        try:
            sources.append(Source(name, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # binary, such as a fuzz corpus
    return sources


def check_all(root, sources, with_tools):
    names, prefixes = enum_constants(sources)
    paths = {s.path for s in sources}
    findings = []
    for source in sources:
        if source.path.endswith("package-lock.json"):
            findings += [f for f in check_text(source) if f.rule in ("machine-path", "registry")]
            continue
        findings += check_text(source)
        findings += check_links(source, paths)
        if source.is_c:
            for check in C_CHECKS:
                findings += check(source)
            findings += check_switches(source, names, prefixes)
    if with_tools:
        findings += check_headers_alone(root, sources)
        findings += check_format(root, sources)
    return apply_exceptions(sources, findings)


def apply_exceptions(sources, findings):
    paths = {s.path for s in sources}
    used = {(f.rule, f.path) for f in findings}
    kept = [f for f in findings if (f.rule, f.path) not in EXCEPTIONS]
    for rule, path in EXCEPTIONS:
        if path in paths and (rule, path) not in used:
            kept.append(Finding(path, 1, "exception", f"needs no exception from {rule} any more"))
    return kept


ASSERTION = re.compile(r"\b(?:ASSERT(?:_HOT)?|ALWAYS|NEVER|static_assert|UNREACHABLE)\s*\(")


def density_of(sources, module):
    """(functions, assertions) of a module."""
    own = [s for s in sources if s.module == module]
    return (sum(len(s.functions) for s in own), sum(len(ASSERTION.findall(s.code)) for s in own))


def check_assertions(sources):
    for module, least in ASSERTIONS_LEAST.items():
        functions, asserts = density_of(sources, module)
        if asserts < least * functions:
            yield Finding(f"src/{module}", 1, "assertions",
                          f"{asserts} in {functions} functions; at least {least} a function")


def report(sources):
    """Assertions per function by module; style: 1 over src, 2 in log, ring, core, session."""
    print(f"{'module':10} {'functions':>9} {'asserts':>8} {'a function':>10} {'median lines':>13}")
    total_functions = total_asserts = 0
    for module in LAYERS:
        functions = [f for s in sources if s.module == module for f in s.functions]
        asserts = density_of(sources, module)[1]
        if functions:
            sizes = sorted(f.end - f.first + 1 for f in functions)
            print(f"{module:10} {len(functions):9} {asserts:8} {asserts / len(functions):10.2f}"
                  f" {sizes[len(sizes) // 2]:13}")
        total_functions += len(functions)
        total_asserts += asserts
    print(f"{'all':10} {total_functions:9} {total_asserts:8}"
          f" {total_asserts / max(1, total_functions):10.2f}")


def main():
    parser = argparse.ArgumentParser(description="Checks the house style.")
    parser.add_argument("--root", default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--no-tools", action="store_true")
    options = parser.parse_args()
    root = pathlib.Path(options.root).resolve()
    sources = load(root)
    findings = check_all(root, sources, not options.no_tools)
    findings += check_assertions(sources)
    for finding in sorted(findings, key=lambda f: (f.path, f.line)):
        print(finding)
    if options.report:
        report(sources)
    print(f"tidy: {len(sources)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
