#!/usr/bin/env python3
"""Each rule of layers.py must fail a tree that breaks it, and name the file."""

import os
import subprocess
import tempfile
import unittest

import layers

REGISTRY = "files.pythonhosted" + ".org"


def header(path, body=""):
    guard = layers.guard_of(path)
    return f"#ifndef {guard}\n#define {guard}\n{body}\n#endif  // {guard}\n"


class LayersTest(unittest.TestCase):

    def findings(self, files):
        """What the rules say about a tree of these files: {path: [problem, ...]}."""
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["git", "init", "-q", root], check=True)
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(header(path, text) if path.endswith(".h") else text)
            problems = {}
            for path, _, problem in layers.findings(root):
                problems.setdefault(path, []).append(problem)
            return problems

    def assert_fails(self, files, path, words):
        problems = self.findings(files)
        self.assertEqual(list(problems), [path], problems)
        self.assertIn(words, problems[path][0])

    def assert_passes(self, files):
        self.assertEqual(self.findings(files), {})

    def test_accepts_a_tree_that_keeps_the_rules(self):
        self.assert_passes({
            "common/sql/database.h": "#include <memory>",
            "common/sql/database.cc": '#include "common/sql/database.h"\n#include <soci/soci.h>\n',
            "common/time/clock.cc": "auto t = std::chrono::steady_clock::now();\n",
            "services/registry/registry.h": '#include "common/sql/database.h"',
            "services/registry/registry_service.cc":
                '#include "services/registry/registry.h"\n'
                '#include "slipway/registry/v1/registry.grpc.pb.h"\n',
            "services/registry/main.cc": '#include "grpcpp/server.h"\n',
            "services/inference/torch/torch_runtime.cc": "#include <torch/torch.h>\n",
            "tests/unit/common/sql/database_test.cc":
                '#include "common/sql/database.h"\n#include <soci/soci.h>\n',
            "README.md": "Run `make demo`.\n",
        })

    def test_common_knows_no_service(self):
        self.assert_fails({"services/registry/registry.h": "",
                           "common/blob/store.cc": '#include "services/registry/registry.h"\n'},
                          "common/blob/store.cc", "common knows no service")

    def test_common_knows_no_test(self):
        self.assert_fails({"tests/support/fake.h": "",
                           "common/blob/store.cc": '#include "tests/support/fake.h"\n'},
                          "common/blob/store.cc", "common knows no service")

    def test_a_service_includes_no_test(self):
        self.assert_fails({"tests/support/fake.h": "",
                           "services/cli/main.cc": '#include "tests/support/fake.h"\n'},
                          "services/cli/main.cc", "a test's header")

    def test_services_meet_in_proto_only(self):
        self.assert_fails({"services/registry/registry.h": "",
                           "services/training/queue.cc":
                               '#include "services/registry/registry.h"\n'},
                          "services/training/queue.cc", "services meet in proto/ only")

    def test_the_unit_test_of_a_service_keeps_to_it(self):
        self.assert_fails({"services/registry/registry.h": "",
                           "tests/unit/services/training/queue_test.cc":
                               '#include "services/registry/registry.h"\n'},
                          "tests/unit/services/training/queue_test.cc", "services meet in proto")

    def test_each_library_has_its_home(self):
        for name, include in {
                "LibTorch": "torch/torch.h", "cpprestsdk": "cpprest/http_client.h",
                "Asio": "boost/asio.hpp", "Beast": "boost/beast/http.hpp",
                "nghttp2": "nghttp2/nghttp2.h", "SOCI": "soci/soci.h", "libpq": "libpq-fe.h",
                "grpc++": "grpcpp/grpcpp.h", "stubs": "slipway/a/v1/a.grpc.pb.h",
                "OpenSSL": "openssl/evp.h", "prometheus": "prometheus/registry.h",
                "spdlog": "spdlog/spdlog.h", "yaml-cpp": "yaml-cpp/yaml.h", "CLI11": "CLI/CLI.hpp",
                "ATen": "ATen/ATen.h", "c10": "c10/core/Device.h"}.items():
            with self.subTest(name):
                self.assert_fails({"services/registry/registry.cc": f"#include <{include}>\n"},
                                  "services/registry/registry.cc", "reaches")

    def test_a_library_does_not_leak_through_a_header(self):
        problems = self.findings({
            "common/nn/module.h": "#include <torch/torch.h>",
            "services/training/spec.h": '#include "common/nn/module.h"',
            "services/training/training.cc": '#include "services/training/spec.h"\n'})
        self.assertEqual(set(problems), {"services/training/spec.h",
                                         "services/training/training.cc"})
        self.assertIn("services/training/spec.h -> common/nn/module.h -> torch/torch.h",
                      problems["services/training/training.cc"][0])

    def test_the_unit_test_of_a_domain_needs_no_grpc(self):
        self.assert_fails({"tests/unit/services/registry/registry_test.cc":
                               '#include "grpcpp/server.h"\n'},
                          "tests/unit/services/registry/registry_test.cc", "reaches grpc++")

    def test_rooms_form_no_ring(self):
        problems = self.findings({"common/blob/a.h": '#include "common/sql/b.h"',
                                  "common/sql/b.h": '#include "common/time/c.h"',
                                  "common/time/c.h": '#include "common/blob/a.h"'})
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("in a ring", next(iter(problems.values()))[0])

    def test_time_threads_and_locks_have_their_homes(self):
        for code in ("auto t = std::chrono::system_clock::now();", "auto t = absl::Now();",
                     "std::this_thread::sleep_for(a);", "absl::SleepFor(a);", "usleep(5);",
                     "std::thread t(f);", "auto f = std::async(g);", "thread_.detach();",
                     "std::mutex m;", "std::shared_mutex m;", "absl::Mutex m;",
                     "std::lock_guard lock(m);", "std::condition_variable c;", "#pragma once"):
            for path in ("services/registry/registry.cc",
                         "tests/unit/services/registry/registry_test.cc",
                         "tests/integration/registry/registry_test.cc"):
                with self.subTest(code=code, path=path):
                    problems = self.findings({path: code + "\n"})
                    self.assertEqual(list(problems), [path])

    def test_comments_and_strings_do_not_count(self):
        self.assert_passes({"services/registry/registry.cc":
            "// std::mutex\n/* absl::Now() */\nconst char* a = \"std::mutex\";\n"
            "const char* b = R\"(usleep(5))\";\n// #include <torch/torch.h>\n"
            "std::thread::id c;\nint d = std::thread::hardware_concurrency();\n"})

    def test_code_after_a_digit_separator_counts(self):
        self.assert_fails({"services/registry/registry.cc":
                               "int a = 1'000; std::mutex m; char c = 'x';\n"},
                          "services/registry/registry.cc", "std::mutex")

    def test_guards_follow_the_path(self):
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["git", "init", "-q", root], check=True)
            with open(os.path.join(root, "a.h"), "w", encoding="utf-8") as file:
                file.write("#ifndef A_H\n#define A_H\n#endif\n")
            self.assertEqual([p for p, _, _ in layers.findings(root)], ["a.h"])

    def test_includes_name_files_from_the_root(self):
        for include in ('"../a.h"', '"common/absent/a.h"', "<common/time/clock.h>"):
            with self.subTest(include):
                problems = self.findings({"common/time/clock.h": "",
                                          "common/log/log.cc": f"#include {include}\n"})
                self.assertEqual(list(problems), ["common/log/log.cc"])

    def test_no_file_names_a_registry_or_a_machine(self):
        for text in (f"pip install --index-url https://{REGISTRY}/simple", "cd /root/slipway",
                     "path: /home/alice/data", "# TO" + "DO: later"):
            with self.subTest(text):
                self.assertEqual(list(self.findings({"docs/a.md": text + "\n"})), ["docs/a.md"])
        self.assert_passes({"docs/a.md": "GET /v1/home/x, $HOME/root/y, ./{}/z\n".format("work")})


if __name__ == "__main__":
    unittest.main()
