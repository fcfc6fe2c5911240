"""What the chart's tests share: namespaces of their own, a story's steps, a PostgreSQL, and the
platform that runs in the pods: how it is asked, and that it works."""
import argparse
import base64
import contextlib
import glob
import json
import os
import pathlib
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import node as nodes

NAMESPACE = "slipway"
RELEASE = "demo"
SERVICES = ("gateway", "registry", "training", "controller")
COMPONENTS = (*SERVICES, "worker-default", "worker-default-isolated")
PODS = {f"{RELEASE}-{name}-0" for name in (*SERVICES, "worker-default")}
# Shorter than the defaults, which are for people.
QUICK = {"termination": {"preStopSeconds": 3, "drainSeconds": 10, "graceSeconds": 30}}
OPTIONS = argparse.Namespace()
# Of ctest: the machine does not allow what the test needs.
SKIPPED = 77


def enter_namespaces():
    """Starts this program again where it is root, alone, and has a network of its own."""
    if os.environ.get("SLIPWAY_TEST_NAMESPACES"):
        return
    command = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork",
               "--kill-child", "--mount-proc", "--"]
    if subprocess.run([*command, "true"], check=False).returncode != 0:
        print("the test needs user, mount, network and process namespaces; this machine or "
              "container does not allow them")
        sys.exit(SKIPPED)
    os.environ["SLIPWAY_TEST_NAMESPACES"] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def eventually(what, ask, limit=120):
    end = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not within {limit} s"
        time.sleep(0.2)


def command(*arguments, env=None, text=None):
    result = subprocess.run([str(part) for part in arguments], input=text, capture_output=True,
                            text=True, env={**os.environ, **(env or {})}, check=False)
    assert result.returncode == 0, \
        f"{' '.join(map(str, arguments))}:\n{result.stdout}{result.stderr}"
    return result


def idx(shape, values):
    head = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    return head + bytes(values)


def pictures(count, seed):
    """Pictures of 8 x 8 that are bright in their upper (0) or lower (1) half, and their labels."""
    dice = random.Random(seed)
    labels = [i % 2 for i in range(count)]
    pixels = [dice.randint(140, 255) if (y < 4) == (label == 0) else dice.randint(0, 110)
              for label in labels for y in range(8) for _ in range(8)]
    return idx([count, 8, 8], pixels), idx([count], labels)


JOB = {
    "model": "halves", "dataset": "halves",
    "data": {"format": "idx", "labels": ["upper", "lower"], "scale": 255,
             "train": {"inputs": "train-images", "targets": "train-labels"},
             "test": {"inputs": "test-images", "targets": "test-labels"}},
    "architecture": {"type": "mlp", "hidden": [64]}, "loss": {"type": "cross_entropy"},
    "optimizer": {"type": "sgd", "learning_rate": 0.05},
    "training": {"epochs": 2, "batch_size": 32, "seed": 1}, "resources": {"threads": 1},
    "evaluation": {"at_least": {"accuracy": 0.9}}}


class Postgres:
    """A server beside the cluster, as a managed one would be; a database for each service."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir()
        self._bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self._password = "its password"
        secret = folder / "password"
        secret.write_text(self._password)
        self._run("initdb", "-D", folder / "data", "-U", "slipway", "-A", "scram-sha-256",
                  "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync")
        with open(folder / "data/pg_hba.conf", "a", encoding="utf-8") as rules:
            rules.write("host all all 10.244.0.0/16 scram-sha-256\n")
        with open(folder / "log", "wb") as log:
            subprocess.Popen([*self._as_user(), f"{self._bin}/postgres", "-D", folder / "data",
                              "-h", nodes.HOST, "-k", folder, "-c", "fsync=off"],
                             stdout=log, stderr=log)
        eventually("PostgreSQL", lambda: self._psql("SELECT 1").returncode == 0)
        for service in SERVICES:
            assert self._psql(f"CREATE DATABASE {service}").returncode == 0

    def urls(self):
        """The data of a Secret: service -> the URL of its database, in base64."""
        server = f"slipway:{self._password.replace(' ', '%20')}@{nodes.HOST}:5432"
        return {service: base64.b64encode(f"postgresql://{server}/{service}".encode()).decode()
                for service in SERVICES}

    @staticmethod
    def _as_user():
        # Refuses to be root.
        return ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]

    def _run(self, program, *arguments):
        command(*self._as_user(), f"{self._bin}/{program}", *arguments)

    def _psql(self, statement):
        return subprocess.run([f"{self._bin}/psql", "-h", nodes.HOST, "-U", "slipway", "postgres",
                               "-c", statement], env={"PGPASSWORD": self._password},
                              capture_output=True, check=False)


class Story:
    """Steps, told by their numbers. `api`: where objects are seen; `node`: what runs pods, or
    None."""

    def __init__(self, folder):
        self.folder = folder
        self.api = None
        self.node = None

    def objects(self, group, kind):
        return {o["metadata"]["name"]: o for o in self.api.list(
            f"/{group}/namespaces/{NAMESPACE}/{kind}")}

    def run(self):
        """Runs the steps by their numbers."""
        begun = time.monotonic()
        for name in sorted(name for name in dir(self) if name.startswith("step_")):
            print(f"[{time.monotonic() - begun:5.1f} s] {name[8:].replace('_', ' ')}", flush=True)
            try:
                getattr(self, name)()
            except BaseException:
                self.tell()
                raise
        print(f"[{time.monotonic() - begun:5.1f} s] all steps were right", flush=True)

    def tell(self):
        """What helps to see why a step was wrong."""


class Platform(Story):
    """The platform that runs in a node's pods."""

    def __init__(self, folder):
        super().__init__(folder)
        self.key = None

    def pods(self):
        return self.objects("api/v1", "pods")

    def ready_pods(self):
        return {name for name, pod in self.pods().items() if any(
            c["type"] == "Ready" and c["status"] == "True"
            for c in pod.get("status", {}).get("conditions", []))}

    def slipway(self, *arguments):
        service = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-gateway")
        return command(pathlib.Path(OPTIONS.bin) / "slipway", *arguments, env={
            "SLIPWAY_URL": f"http://{service['spec']['clusterIP']}",
            "SLIPWAY_API_KEY": self.key,
            "SLIPWAY_CONFIG": str(self.folder / "config.yaml")}).stdout

    def predictions_are_right(self):
        rows = json.loads(self.slipway("predict", "halves", "--images", self.folder / "test-images",
                                       "--labels", self.folder / "test-labels", "-o", "json"))
        right = sum(row["label"] == row["truth"] for row in rows)
        assert right >= 9, f"{right} of {len(rows)} predictions are right"

    def works(self, *arguments):
        try:
            self.slipway(*arguments)
            return True
        except AssertionError:
            return False

    def failures_while(self, act):
        """Calls the model without a pause while act() runs; what did not succeed."""
        service = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-gateway")
        request = urllib.request.Request(
            f"http://{service['spec']['clusterIP']}/v2/models/halves/infer",
            data=json.dumps({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 8, 8],
                                         "data": [200] * 32 + [20] * 32}]}).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"})
        failures, answers, done = [], [], threading.Event()

        def call():
            while not done.is_set():
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        answers.append(answer.status)
                except urllib.error.HTTPError as error:
                    failures.append(f"{error.code} {error.read().decode()}")
                except OSError as error:
                    failures.append(str(error))

        callers = [threading.Thread(target=call) for _ in range(2)]
        for caller in callers:
            caller.start()
        try:
            act()
        finally:
            done.set()
            for caller in callers:
                caller.join()
        assert answers, "no call at all succeeded"
        return failures

    def predicts_again(self):
        def ask():
            try:
                self.predictions_are_right()
                return True
            except AssertionError as error:
                self.node.log(str(error))
                return False
        eventually("a prediction", ask)

    # Steps of both stories

    def step_05_health_and_metrics_answer_on_every_pod(self):
        for name, pod in self.pods().items():
            for path in ("healthz", "readyz", "metrics"):
                url = f"http://{pod['status']['podIP']}:7070/{path}"
                with urllib.request.urlopen(url, timeout=10) as answer:
                    assert answer.status == 200, (name, path)

    def step_06_nobody_gets_in_without_a_certificate(self):
        address = self.pods()[f"{RELEASE}-registry-0"]["status"]["podIP"]
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        try:
            with socket.create_connection((address, 7000), timeout=10) as plain, \
                    tls.wrap_socket(plain) as secured:
                got = secured.recv(1)
        except (ssl.SSLError, ConnectionError):
            got = b""
        assert not got, "the registry talks to a caller without a certificate"

    def step_07_an_operator_makes_a_key_as_the_notes_say(self):
        made = self.node.execute(f"{RELEASE}-gateway-0", "slipway-gateway", "--config",
                                 "/etc/slipway/config.yaml", "--set", "recover_admin_key=true",
                                 "--set", "admin_key_file=")
        self.key = made.split()[-1]
        assert self.key.startswith("slw_"), made
        # The running gateway reads new keys a few times a second.
        eventually("the key", lambda: self.works("tenant", "list"))
        self.slipway("tenant", "create", "acme")
        self.key = self.slipway("--tenant", "acme", "key", "create", "--role", "owner").split()[-1]

    def step_08_a_model_is_trained_deployed_and_called(self):
        uploads = []
        for part, count, seed in (("train", 640, 1), ("test", 100, 2)):
            for kind, data in zip(("images", "labels"), pictures(count, seed)):
                path = self.folder / f"{part}-{kind}"
                path.write_bytes(data)
                uploads.append(f"{part}-{kind}={path}")
        self.slipway("dataset", "upload", "halves", *uploads)
        job = self.folder / "job.json"
        job.write_text(json.dumps(JOB))
        self.slipway("train", job, "--name", "first", "--watch")
        self.slipway("deploy", "create", "halves", "--model", "halves", "--version", "1", "--wait")
        self.predicts_again()

    def tell(self):
        print((self.folder / "node/node.log").read_text() if
              (self.folder / "node/node.log").exists() else "", file=sys.stderr)
        for log in sorted((self.folder / "node").glob(f"{RELEASE}-*.log")):
            lines = log.read_text(errors="replace").splitlines()[-12:]
            print(f"--- {log.name}", *lines, sep="\n", file=sys.stderr)


def main(story, description, *needed):
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("helm", "chart", "bin", *needed):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--library", action="append", default=[],
                        help="a folder of libraries that the programs need")
    parser.add_argument("--keep", help="a new folder for all that is written, logs above all")
    parser.parse_args(namespace=OPTIONS)
    enter_namespaces()
    assert os.getpid() == 1
    nodes.run("ip", "link", "set", "lo", "up")
    with tempfile.TemporaryDirectory(prefix="slipway-kubernetes-", ignore_cleanup_errors=True) as \
            temporary:
        folder = pathlib.Path(OPTIONS.keep or temporary)
        folder.mkdir(exist_ok=True)
        told = story(folder)
        try:
            told.run()
        finally:
            if told.node is not None:
                told.node.stopping.set()
            # All that the namespace has but this process: nothing writes into the folder any more.
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
