#!/usr/bin/env python3
"""The chart: lint, the rendered objects against golden files, what it refuses, and that every
service takes the config that the chart writes for it.

  helm_test.py --helm HELM --chart DIR --bin DIR [--update]

--update writes the golden files anew; look at the difference before you commit it.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
CASES = {
    "laptop": [],
    "gpu": ["--set", "pools.gpu.enabled=true", "--set", "image.digest=sha256:" + "a" * 64],
    "ha": ["--set", "gateway.replicas=3", "--set", "database.existingSecret=slipway-db",
           "--set", "global.imageRegistry=registry.example.org",
           "--set", "termination.drainSeconds=60", "--set", "termination.graceSeconds=90"],
}
OPTIONS = argparse.Namespace()


def helm(*arguments):
    return subprocess.run([OPTIONS.helm, *arguments], capture_output=True, text=True,
                          env={**os.environ, "HELM_CACHE_HOME": tempfile.gettempdir()})


def render(case):
    result = helm("template", "demo", OPTIONS.chart, "--namespace", "slipway", *CASES[case])
    assert result.returncode == 0, result.stderr
    return result.stdout


def configs(rendered):
    """(component, text of its config.yaml) of each ConfigMap."""
    for document in rendered.split("\n---\n"):
        if "\nkind: ConfigMap\n" not in document:
            continue
        component = re.search(r"app\.kubernetes\.io/component: (\S+)", document)[1]
        body = document.split("  config.yaml: |\n", 1)[1]
        yield component, "".join(line[4:] + "\n" for line in body.splitlines())


class Chart(unittest.TestCase):
    def test_lints_strictly(self):
        result = helm("lint", "--strict", OPTIONS.chart)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_renders_what_the_golden_files_hold(self):
        for case in CASES:
            path = HERE / "golden" / f"{case}.yaml"
            rendered = render(case)
            if OPTIONS.update:
                path.write_text(rendered)
            with self.subTest(case):
                self.assertMultiLineEqual(path.read_text(), rendered)

    def test_every_service_takes_its_config(self):
        for case in CASES:
            for component, text in configs(render(case)):
                program = "worker" if component.startswith("worker-") else component
                with self.subTest(case=case, component=component), \
                        tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                    file.write(text)
                    file.flush()
                    result = subprocess.run(
                        [f"{OPTIONS.bin}/slipway-{program}", "--config", file.name,
                         "--print-config=json"], capture_output=True, text=True)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    for line in text.splitlines():
                        value = re.match(r"  (\w+): (/\S+)$", line) or \
                            re.match(r"(\w+): (/\S+|\S+:\d+)$", line)
                        if value:
                            self.assertIn(f'"{value[2]}"', result.stdout)

    def test_a_service_refuses_a_key_that_it_does_not_know(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("lisen: 0.0.0.0:1\n")
            file.flush()
            result = subprocess.run([f"{OPTIONS.bin}/slipway-registry", "--config", file.name,
                                     "--print-config=json"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 2)
        self.assertIn("lisen", result.stderr)

    def test_pods_are_restricted(self):
        for case in CASES:
            for document in render(case).split("\n---\n"):
                if not re.search(r"^kind: StatefulSet$", document, re.M):
                    continue
                for line in ("runAsNonRoot: true", "readOnlyRootFilesystem: true",
                             "allowPrivilegeEscalation: false", "capabilities: {drop: [ALL]}",
                             "seccompProfile: {type: RuntimeDefault}",
                             "automountServiceAccountToken: false", "startupProbe:",
                             "livenessProbe:", "readinessProbe:", "enableServiceLinks: false"):
                    self.assertIn(line, document)

    def test_gpu_pools_ask_for_gpus_and_the_controller_knows_their_workers(self):
        rendered = render("gpu")
        document = next(d for d in rendered.split("\n---\n")
                        if "name: demo-worker-gpu" in d and "\nkind: StatefulSet\n" in d)
        self.assertIn("nvidia.com/gpu: 1", document)
        self.assertIn("- demo-worker-gpu-0.demo-worker-gpu:7000", rendered)

    def refuses(self, message, *arguments):
        result = helm("template", "demo", OPTIONS.chart, *arguments)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(message, result.stderr)

    def test_refuses_unknown_values(self):
        self.refuses("gatway", "--set", "gatway.replicas=2")
        self.refuses("replica", "--set", "gateway.replica=2")

    def test_refuses_the_tag_latest(self):
        self.refuses("tag", "--set", "image.tag=latest")

    def test_refuses_a_grace_that_would_cut_draining_short(self):
        self.refuses("termination.graceSeconds", "--set", "termination.graceSeconds=20")

    def test_refuses_gateway_replicas_without_a_shared_database(self):
        self.refuses("database.existingSecret", "--set", "gateway.replicas=2")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--helm", required=True)
    parser.add_argument("--chart", required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--update", action="store_true")
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
