#!/usr/bin/env python3
"""Holds the arrows between Slipway's rooms: reads every file of the source tree and names each one
that breaks a rule below. `layers.py [ROOT]` ends non-zero when there is such a file.

A rule is a pattern with the few places where it may occur. To add a place is a decision: say why.
"""

import fnmatch
import os
import re
import subprocess
import sys
from typing import NamedTuple


class Library(NamedTuple):
    """Headers that may be reached, directly or through headers of ours, from `homes` only."""
    name: str
    headers: str  # a regular expression on the path in #include
    homes: list  # patterns on our files; * matches / too
    instead: str


# Programs' main files wire everything, so they may reach everything.
MAIN = ["services/*/main.cc", "services/*_main.cc"]

LIBRARIES = [
    Library("LibTorch", r"(torch|ATen|c10)/",
            ["common/nn/*", "services/*/torch/*", "services/training/trainer/*"],
            "keep it behind a header without torch"),
    Library("OpenVINO", r"openvino/", ["services/*/openvino/*"],
            "keep it behind a header without OpenVINO"),
    Library("Apache Arrow", r"(arrow|parquet)/",
            ["services/training/trainer/*parquet*", "services/training/objects/s3_*"],
            "open tables by services/training/trainer/data/table_reader.h, object stores by "
            "services/training/objects/object_store.h"),
    Library("ONNX's own proto", r"onnx/onnx\.pb\.h", ["common/onnx/*"],
            "use common/onnx/export.h"),
    Library("cpprestsdk", r"(cpprest|pplx)/", ["common/http/client/*"],
            "call common/http/client/client.h"),
    Library("Beast and nghttp2", r"boost/beast\b|nghttp2/",
            # The channel is the client's side of HTTP/2 (docs/adr/0007).
            ["common/http/server/*", "common/http/channel/*"],
            "use common/http/server/server.h"),
    # cpprestsdk's TLS settings are an Asio context.
    Library("Asio", r"boost/asio\b",
            ["common/http/io/*", "common/http/server/*", "common/http/channel/*",
             "common/http/client/*"],
            "use common/http/server/server.h"),
    Library("SOCI and databases' own clients", r"soci/|sqlite3\.h|libpq-fe\.h|postgresql/",
            ["common/sql/*"], "use common/sql/database.h"),
    # The messages of gRPC's own protos are protobuf's.
    Library("grpc++", r"grpc(pp|\+\+)?/(?!(health|reflection)/v1/\w+\.pb\.h)|.*\.grpc\.pb\.h$",
            ["common/grpc/*", "services/*_service.*", "services/*_client.*", "services/gateway/*",
             # The trainer's client of two services at once, behind its seam AttemptHost.
             "services/training/trainer/grpc_attempt_host.cc"],
            "only edges (*_service, *_client, the gateway's relay) speak gRPC"),
    Library("cjose", r"cjose/", ["common/jose/*"], "use common/jose/json_web_keys.h"),
    Library("OpenSSL", r"openssl/", ["common/crypto/*", "common/http/io/*"],
            "use common/crypto"),
    Library("prometheus-cpp's registry", r"prometheus/(registry|exposer|collectable|text_serializer)",
            ["common/metrics/*"], "make metrics by common/metrics/metrics.h"),
    Library("spdlog", r"spdlog/", ["common/log/*"], "use common/log/log.h"),
    Library("yaml-cpp", r"yaml-cpp/", ["common/fields/*", "common/config/*"],
            "use common/fields"),
    Library("CLI11", r"CLI/", ["services/cli/*"], "only the command line parses arguments so"),
]


class Token(NamedTuple):
    """Code that may stand in `homes` only. Comments and strings do not count."""
    name: str
    code: str
    homes: list
    instead: str


TOKENS = [
    Token("a real clock",
          r"\b(system|steady|high_resolution)_clock::now\b|\babsl::Now\s*\(|\bclock_gettime\s*\("
          r"|\bgettimeofday\s*\(|\bstd::time\s*\(",
          ["common/time/*"], "take a Clock (common/time/clock.h)"),
    Token("a sleep",
          r"\bsleep_(for|until)\s*\(|\babsl::SleepFor\s*\(|\b(u|nano|clock_nano)?sleep\s*\(",
          ["common/time/*"], "wait on a CondVar or on a Clock"),
    Token("a thread that nobody owns",
          r"\bstd::thread\b(?!::)|\bpthread_create\s*\(|\bstd::async\s*\("
          r"|\b\w*thread\w*\.detach\s*\(",
          [], "use a std::jthread member, declared last"),
    Token("a lock that Clang's analysis does not know",
          r"\bstd::(recursive_|shared_|timed_)*mutex\b|\bstd::condition_variable\w*"
          r"|\bstd::(lock_guard|unique_lock|scoped_lock|shared_lock)\b"
          r"|\babsl::(Mutex|MutexLock|CondVar|ReaderMutexLock|WriterMutexLock)\b",
          ["common/sync/*"], "use common/sync/mutex.h"),
    Token("#pragma once", r"#\s*pragma\s+once\b", [], "use an include guard"),
]


class Text(NamedTuple):
    """What no tracked file may hold, whatever its kind."""
    name: str
    text: str
    instead: str


TEXTS = [
    Text("a package registry's host name",
         r"pypi[.]org|pythonhosted[.]org|npmjs[.](org|com)|(deb|security|snapshot)[.]debian[.]org"
         r"|proxy[.]golang[.]org|crates[.]io|repo[.]?1?[.]maven",
         "the clients (pip, npm, apt) know where their registries are"),
    Text("a path of somebody's machine", r"(?<![\w.$}/-])/(work|root|home|Users)/\w",
         "use a path relative to the source tree, $HOME or a temporary folder"),
    Text("work left undone", r"\b(TODO|FIXME)\b", "do it, or file an issue"),
]

CPP = (".h", ".cc")
# The rules are quoted in the files that state them.
NOT_TEXT_CHECKED = ["tests/layers/*", "LICENSE"]


def tracked(root):
    """All files of the tree that git knows or would add."""
    listing = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, check=True).stdout.decode()
    return sorted(p for p in set(listing.split("\0"))
                  if p and os.path.isfile(os.path.join(root, p)))


def read(root, path):
    with open(os.path.join(root, path), "rb") as file:
        return file.read().decode("utf-8", "replace")


_LEXEMES = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.DOTALL)


def code_of(text, keep_strings=False):
    """C++ without comments, and without what strings hold. Lines keep their numbers."""
    def blank(match):
        lexeme = match.group()
        if lexeme.startswith("/"):
            return " " + "\n" * lexeme.count("\n")
        return lexeme if keep_strings else '""' + "\n" * lexeme.count("\n")
    return _LEXEMES.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, p) for p in patterns)


def subject(path):
    """The file that a test is about: tests/unit/common/nn/x_test.cc is held to the rules of
    common/nn/x.cc. Tests of another kind drive the platform from outside."""
    match = re.match(r"tests/(unit|integration)/(.*?)(_test)?(\.\w+)$", path)
    return match.group(2) + match.group(4) if match else path


def service_of(path):
    parts = subject(path).split("/")
    return parts[1] if parts[0] == "services" and len(parts) > 2 else None


def guard_of(path):
    return "SLIPWAY_" + re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"


def room_of(path):
    return os.path.dirname(path)


def nested(a, b):
    """A folder below a room is part of it (training/spec and training/spec/loss)."""
    return a == b or a.startswith(b + "/") or b.startswith(a + "/")


class Tree:
    """The C++ files of a source tree and what they include."""

    def __init__(self, root):
        self.root = root
        self.files = tracked(root)
        self.text = {p: read(root, p) for p in self.files if p.endswith(CPP)}
        self.includes = {p: self._includes(t) for p, t in self.text.items()}

    @staticmethod
    def _includes(text):
        code = code_of(text, keep_strings=True)
        return [(line_of(code, m.start(1)), m.group(1), m.group(2)) for m in
                re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', code, re.MULTILINE)]

    def reached(self, path, headers, seen=None):
        """How `path` comes to include a header that matches: a list of files, or None."""
        seen = seen if seen is not None else set()
        for _, _, header in self.includes.get(path, []):
            if re.match(headers, header):
                return [header]
            if header in self.includes and header not in seen:
                seen.add(header)
                way = self.reached(header, headers, seen)
                if way:
                    return [header] + way
        return None


def check_libraries(tree):
    for path in tree.includes:
        if not path.startswith(("common/", "services/", "tests/unit/")):
            continue
        for library in LIBRARIES:
            if matches(subject(path), library.homes + MAIN):
                continue
            way = tree.reached(path, library.headers)
            if way:
                yield (path, 0, f"reaches {library.name}: {' -> '.join(way)} ({library.instead})")


def check_arrows(tree):
    for path, includes in tree.includes.items():
        for line, quote, header in includes:
            own = header in tree.text
            if header.startswith((".", "/")) or "/../" in header:
                yield path, line, f'#include "{header}": include by the path from the root'
            elif quote == '"' and header.startswith(("common/", "services/", "tests/")) and not own:
                yield path, line, f'#include "{header}": there is no such file'
            elif quote == "<" and own:
                yield path, line, f"#include <{header}>: own headers stand in quotes"
            if not own:
                continue
            if path.startswith("common/") and not header.startswith("common/"):
                yield path, line, f'common includes "{header}": common knows no service and no test'
            if path.startswith("services/") and header.startswith("tests/"):
                yield path, line, f'"{header}": the product includes a test\'s header'
            if header.startswith("services/") and path.startswith(("services/", "tests/unit/")):
                if service_of(header) != service_of(path):
                    yield (path, line, f'service {service_of(path)} includes "{header}": '
                                       "services meet in proto/ only")


def check_cycles(tree):
    """Rooms (folders) must not include each other in a ring."""
    graph = {}
    for path, includes in tree.includes.items():
        if path.startswith(("common/", "services/")):
            for _, _, header in includes:
                if header in tree.text and not nested(room_of(header), room_of(path)):
                    graph.setdefault(room_of(path), {}).setdefault(room_of(header), (path, header))
    done, stack = set(), []

    def visit(room):
        if room in stack:
            ring = stack[stack.index(room):] + [room]
            steps = [graph[a][b] for a, b in zip(ring, ring[1:])]
            yield (steps[0][0], 0, "rooms include each other in a ring: " +
                   "; ".join(f"{a} includes {b}" for a, b in steps))
            return
        if room in done:
            return
        stack.append(room)
        for other in graph.get(room, {}):
            yield from visit(other)
        stack.pop()
        done.add(room)

    for room in list(graph):
        yield from visit(room)


def check_tokens(tree):
    for path, text in tree.text.items():
        code = code_of(text)
        for token in TOKENS:
            if matches(subject(path), token.homes):
                continue
            for match in re.finditer(token.code, code):
                yield (path, line_of(code, match.start()),
                       f"{token.name}: {match.group()} ({token.instead})")


def check_guards(tree):
    for path, text in tree.text.items():
        if path.endswith(".h"):
            code = code_of(text)
            guard = guard_of(path)
            if not re.match(rf"\s*#ifndef {guard}\s+#define {guard}\b", code):
                yield path, 1, f"the include guard is not {guard}"


def check_texts(tree):
    for path in tree.files:
        if matches(path, NOT_TEXT_CHECKED):
            continue
        text = tree.text.get(path) or read(tree.root, path)
        if "\0" in text:
            continue
        for rule in TEXTS:
            for match in re.finditer(rule.text, text):
                yield path, line_of(text, match.start()), f"{rule.name} ({rule.instead})"


CHECKS = [check_arrows, check_cycles, check_libraries, check_tokens, check_guards, check_texts]


def findings(root):
    tree = Tree(root)
    return sorted({(path, line, problem) for check in CHECKS for path, line, problem in check(tree)})


def main(argv):
    root = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(__file__), "../..")
    found = findings(root)
    for path, line, problem in found:
        print(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")
    if found:
        print(f"layers: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
