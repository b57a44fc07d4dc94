#!/usr/bin/env python3
"""Lists the normative rules that no line of src/ cites.

    tools/cites.py [--strict]

A rule is cited where it is enforced, `/* [WS 5.5] … */` for RFC 6455, `[DEFLATE 7.1]` for RFC 7692
and `[P 3]` for our protocol;
a citation of a subsection counts for the section above it. With --strict a rule without a citation
makes it exit with 1.
"""

import argparse
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The sections of RFC 6455 with a MUST for a server, and what they ask for.
RULES = {
    "WS 4.2.1": "the client's opening handshake is checked in every point",
    "WS 4.2.2": "the server's answer: accept key, subprotocol, refusal of other versions with 426",
    "WS 5.1": "a client's frame is masked, a server's is not",
    "WS 5.2": "reserved bits, opcodes, and lengths in the fewest bytes",
    "WS 5.4": "fragments: order, and control frames between them",
    "WS 5.5": "control frames: at most 125 bytes, not fragmented",
    "WS 5.5.1": "Close: answered once, nothing after it",
    "WS 5.5.2": "Ping: answered by a Pong",
    "WS 5.5.3": "Pong: the most recent Ping is enough",
    "WS 5.6": "text is UTF-8",
    "WS 7.1": "who closes the connection, and when",
    "WS 7.4": "which close codes may be sent",
    "WS 8.1": "bad UTF-8 fails the connection",
    "DEFLATE 5": "an offer is chosen, or all are declined",
    "DEFLATE 6": "RSV1: on the first frame of a message that is compressed, nowhere else",
    "DEFLATE 7.1": "offers with parameters that are unknown, repeated or out of range are declined",
    "DEFLATE 7.2.2": "how a message is inflated",
    "P 1": "transport: path, subprotocols, keep-alive",
    "P 2": "shape: ids, repeated members, integers, names, payloads",
    "P 3": "commands and replies, errors and close codes",
    "P 5": "HTTP",
    "P 6": "command line",
}
CITATION = re.compile(r"\[(WS|DEFLATE|P) (\d+(?:\.\d+)*)\]")


def citations():
    found = collections.defaultdict(list)
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            for standard, section in CITATION.findall(line):
                found[f"{standard} {section}"].append(f"{path.relative_to(ROOT)}:{number}")
    return found


def main():
    parser = argparse.ArgumentParser(description="Lists rules without a citation.")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    found = citations()
    missing = 0
    for rule, text in RULES.items():
        places = [p for cited, list_ in found.items() for p in list_
                  if cited == rule or cited.startswith(rule + ".")]
        missing += 0 if places else 1
        print(f"{rule:9} {len(places):3} {'' if places else 'NOT CITED: '}{text}")
    print(f"cites: {len(RULES)} rules, {missing} without a citation")
    return 1 if options.strict and missing else 0


if __name__ == "__main__":
    sys.exit(main())
