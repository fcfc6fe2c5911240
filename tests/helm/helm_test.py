#!/usr/bin/env python3
"""The chart: lint, the rendered objects against golden files, what it refuses, and that every
service takes the config that the chart writes for it.

  helm_test.py --helm HELM --chart DIR --bin DIR [--update]

--update writes the golden files anew; look at the difference before you commit it.
"""
import argparse
import base64
import json
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
           "--set", "objectStores.existingSecret=slipway-buckets",
           "--set", "global.imageRegistry=registry.example.org",
           "--set", "gateway.tls.existingSecret=api-example-org-tls",
           "--set", "termination.drainSeconds=60", "--set", "termination.graceSeconds=90"],
    "operators": ["--set", "tls.source=certManager", "--set", "tls.issuerRef.name=platform",
                  "--set", "identity.existingSecret=slipway-identity",
                  "--set", "pools.default.autoscaling.mode=horizontalPodAutoscaler",
                  "--set", "monitoring.podMonitor.enabled=true",
                  "--set", "tracing.endpoint=http://collector.observability.svc:4318",
                  "--set-json", "tracing.sampleRatio=0.1",
                  "--api-versions", "monitoring.coreos.com/v1/PodMonitor"],
}
OPTIONS = argparse.Namespace()


def helm(*arguments):
    return subprocess.run([OPTIONS.helm, *arguments], capture_output=True, text=True,
                          env={**os.environ, "HELM_CACHE_HOME": tempfile.gettempdir()})


def render(case):
    result = helm("template", "demo", OPTIONS.chart, "--namespace", "slipway", *CASES[case])
    assert result.returncode == 0, result.stderr
    return result.stdout


def documents(rendered, kind):
    return [d for d in rendered.split("\n---\n") if f"\nkind: {kind}\n" in d]


def name_of(document):
    return re.search(r"^  name: (\S+)$", document, re.M)[1]


def secrets(rendered):
    """Name -> {key: bytes} of the Secrets that the chart makes."""
    return {name_of(d): {key: base64.b64decode(text) for key, text in re.findall(
        r"^  (\S+): (\S+)$", d.split("\ndata:\n", 1)[1], re.M)} for d in documents(rendered, "Secret")}


def without_secrets(rendered):
    """What is made anew each time is no part of a golden file."""
    return "\n---\n".join(
        re.sub(r"(?<=\ndata:\n).*", lambda data: re.sub(r": \S+", ": (made)", data[0]), d, flags=re.S)
        if "\nkind: Secret\n" in d else d for d in rendered.split("\n---\n"))


def openssl(*arguments, text):
    result = subprocess.run(["openssl", *arguments], input=text, capture_output=True, check=False)
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
            rendered = without_secrets(render(case))
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
                if not re.search(r"^kind: (StatefulSet|PodTemplate)$", document, re.M):
                    continue
                if name_of(document) == "demo-controller":
                    # It makes pods.
                    self.assertIn("automountServiceAccountToken: true", document)
                    document = document.replace("Token: true", "Token: false")
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
        self.assertIn("- demo-worker-gpu-0.demo-worker-gpu.slipway.svc:7000", rendered)

    def test_the_controller_knows_every_worker_that_a_scaled_pool_may_have(self):
        config = dict(configs(render("operators")))["controller"]
        self.assertEqual(4, len(re.findall(r"- demo-worker-default-\d\.", config)))
        [pool] = [d for d in documents(render("operators"), "StatefulSet") if "worker-default" in d]
        self.assertNotIn("replicas:", pool)

    def test_every_secret_that_a_pod_mounts_is_made_or_brought(self):
        for case, brought in (("laptop", set()), ("gpu", set()),
                              ("ha", {"slipway-db", "slipway-buckets", "api-example-org-tls"}),
                              ("operators", {"slipway-identity"})):
            rendered = render(case)
            certificates = {name_of(d) for d in documents(rendered, "Certificate")}
            made = set(secrets(rendered)) | certificates | brought
            mounted = set(re.findall(r"secretName: ([^\s,}]+)|secretKeyRef: {name: ([^\s,}]+)",
                                     "".join(documents(rendered, "StatefulSet") +
                                             documents(rendered, "PodTemplate"))))
            for name in {a or b for a, b in mounted}:
                with self.subTest(case=case, secret=name):
                    self.assertIn(name, made)

    def test_made_secrets_fit_together(self):
        made = secrets(render("gpu"))
        identity = made.pop("demo-identity")
        for service in ("gateway", "training", "controller"):
            self.assertEqual(openssl("pkey", "-pubout", text=identity[f"{service}.pem"]),
                             identity[f"{service}.pub"])
        self.assertRegex(identity["pepper"].decode(), r"^[0-9a-f]{64}\n$")
        authority = made.pop("demo-ca")["tls.crt"]
        hosts = {"demo-registry": "demo-registry.slipway.svc",
                 "demo-worker-gpu": "demo-worker-gpu-7.demo-worker-gpu.slipway.svc",
                 "demo-worker-default-isolated":
                     "demo-worker-default-isolated-3.demo-worker-default-isolated.slipway.svc"}
        self.assertEqual({f"demo-{name}-tls" for name in (
            "gateway", "registry", "training", "controller", "worker-default",
            "worker-default-isolated", "worker-gpu")}, set(made))
        with tempfile.NamedTemporaryFile() as trusted:
            trusted.write(authority)
            trusted.flush()
            for name, files in made.items():
                host = hosts.get(name.removesuffix("-tls"))
                checks = ["-verify_hostname", host] if host else []
                openssl("verify", "-CAfile", trusted.name, *checks, text=files["tls.crt"])
                self.assertEqual(openssl("pkey", "-pubout", text=files["tls.key"]),
                                 openssl("x509", "-pubkey", "-noout", text=files["tls.crt"]))

    def test_made_secrets_are_no_part_of_the_release(self):
        for document in documents(render("laptop"), "Secret"):
            self.assertIn("helm.sh/hook: pre-install,pre-upgrade\n", document)

    def test_workers_call_the_registry_and_nobody_else(self):
        policies = {name_of(d): d for d in documents(render("ha"), "NetworkPolicy")}
        egress = policies["demo-worker-default"].split("  egress:\n")[1]
        self.assertEqual(["registry"], re.findall(r"component: ([\w-]+)", egress))
        self.assertNotIn("5432", egress)
        self.assertIn("5432", policies["demo-registry"])

    def test_isolated_workers_are_the_pools_but_for_their_life(self):
        rendered = render("laptop")
        [template] = documents(rendered, "PodTemplate")
        [pool] = [d for d in documents(rendered, "StatefulSet") if name_of(d) == "demo-worker-default"]
        own = {"restartPolicy: Never", "subdomain: demo-worker-default-isolated"}

        def lines(document, begin):
            return [line.strip().replace("demo-worker-default-isolated", "demo-worker-default")
                    for line in document.split(begin)[1].splitlines()
                    if "checksum/config" not in line and "component:" not in line and
                    line.strip() not in own]
        self.assertEqual(lines(template, "\ntemplate:\n"), lines(pool, "\n  template:\n"))
        for line in own:
            self.assertIn(line, template)

    def test_the_controller_may_make_pods_only_where_there_are_isolated_workers(self):
        [role] = documents(render("laptop"), "Role")
        self.assertEqual(["[pods], verbs: [list, create, delete]"],
                         re.findall(r"resources: (\[\w+\], verbs: .*)}", role))
        self.assertIn("verbs: [get]\n    resourceNames:\n      - demo-worker-default-isolated\n",
                      role + "\n")
        none = helm("template", "demo", OPTIONS.chart, "--set",
                    "pools.default.isolatedWorkers=0").stdout
        self.assertNotIn("kind: Role", none)
        self.assertNotIn("automountServiceAccountToken: true", none)
        self.assertNotIn("isolated", none)

    def test_refuses_pools_whose_names_would_meet(self):
        self.refuses('with "-isolated" behind it', "--set-json", "pools.default-isolated=" + json.dumps(
            {"enabled": True, "replicas": 1, "accelerator": {"mode": "none"}, "resources": {},
             "config": {}}))

    def test_gateway_and_workers_send_spans_where_they_may(self):
        rendered = render("operators")
        policies = {name_of(d): d for d in documents(rendered, "NetworkPolicy")}
        traced = {"gateway", "worker-default", "worker-default-isolated"}
        for component, config in configs(rendered):
            with self.subTest(component):
                self.assertEqual(component in traced, "collector.observability.svc:4318" in config)
                self.assertEqual(component in traced,
                                 "port: 4318" in policies[f"demo-{component}"])

    def test_only_training_has_the_keys_of_object_stores_and_reaches_them(self):
        holders = [name_of(d) for d in documents(render("ha"), "StatefulSet")
                   if "slipway-buckets" in d]
        self.assertEqual(["demo-training"], holders)
        policies = {name_of(d): d for d in documents(render("ha"), "NetworkPolicy")}
        self.assertEqual(["demo-training"],
                         [name for name, policy in policies.items() if "[{port: 443}]" in policy])

    def test_draining_ends_before_the_grace_does(self):
        for component, config in configs(render("ha")):
            with self.subTest(component):
                self.assertIn("drain_timeout: 60s\n", config)

    def refuses(self, message, *arguments):
        name = [] if "--name-template" in arguments else ["demo"]
        result = helm("template", *name, OPTIONS.chart, *arguments)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(message, result.stderr)

    def test_refuses_unknown_values(self):
        self.refuses("gatway", "--set", "gatway.replicas=2")
        self.refuses("replica", "--set", "gateway.replica=2")

    def test_refuses_the_tag_latest(self):
        self.refuses("tag", "--set", "image.tag=latest")

    def test_refuses_an_issuer_without_a_name(self):
        self.refuses("issuerRef", "--set", "tls.source=certManager")

    def test_refuses_a_pod_monitor_where_nobody_would_see_it(self):
        self.refuses("Prometheus operator", "--set", "monitoring.podMonitor.enabled=true")

    def test_refuses_names_that_pods_could_not_have(self):
        self.refuses("shorter", "--name-template", "r" * 50)

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
