#!/usr/bin/env python3
"""What the chart renders, run: its pods as plain processes with their ConfigMaps and Secrets,
mutual TLS between them and PostgreSQL, and nothing of Kubernetes but the objects."""
import copy
import http.server
import json
import pathlib
import secrets
import threading
import urllib.parse
import urllib.request

import yaml

import node as nodes
from api import ApiError
from platform_in_pods import (NAMESPACE, OPTIONS, PODS, QUICK, RELEASE, Platform, Postgres, command,
                              eventually, main)

_BASE = f"/api/v1/namespaces/{NAMESPACE}"
_API = (nodes.HOST, 6443)
_MODEL = pathlib.Path(__file__).parent.parent / "fixtures/models/onnx"


class PaperApi:
    """What a node asks of the API server, from rendered objects. Any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._objects = {}  # path -> object
        # Of pods that ask for their account's.
        self.account_token = secrets.token_hex(20)

    def api(self):
        """Of a control plane, as a node sees it."""
        return self

    def put(self, kind, name, body):
        body["metadata"] = {**body.get("metadata", {}), "name": name, "namespace": NAMESPACE}
        with self._lock:
            self._objects[f"{_BASE}/{kind}/{name}"] = body

    def get(self, path):
        with self._lock:
            if path in self._objects:
                return copy.deepcopy(self._objects[path])
        raise ApiError(404, path)

    def list(self, path):
        if path.endswith("/endpointslices"):
            return [self._endpoints(service) for service in self.list(f"{_BASE}/services")]
        kind = path.split("?")[0].rsplit("/", 1)[1]
        with self._lock:
            return [copy.deepcopy(body) for its, body in self._objects.items()
                    if its.startswith(f"{_BASE}/{kind}/")]

    def patch(self, path, body):
        with self._lock:
            self._objects[path.removesuffix("/status")].update(body)

    def call(self, method, path, _):
        assert method == "DELETE"
        with self._lock:
            del self._objects[path]

    def _endpoints(self, service):
        wanted = service["spec"]["selector"].items()
        pods = [pod for pod in self.list(f"{_BASE}/pods") if "podIP" in pod.get("status", {}) and
                wanted <= pod["metadata"]["labels"].items()]
        ports = {p["name"]: p["containerPort"] for pod in pods for p in
                 pod["spec"]["containers"][0]["ports"]}
        return {
            "metadata": {"namespace": NAMESPACE, "labels": {
                "kubernetes.io/service-name": service["metadata"]["name"]}},
            "endpoints": [{"addresses": [pod["status"]["podIP"]],
                           "hostname": pod["metadata"]["name"],
                           "conditions": {"ready": pod["status"]["containerStatuses"][0]["ready"]}}
                          for pod in pods],
            "ports": [{"name": port["name"], "port": ports[port["targetPort"]]}
                      for port in service["spec"]["ports"] if port["targetPort"] in ports]}


class ApiServer(http.server.BaseHTTPRequestHandler):
    """What the controller asks of the API server, of a PaperApi."""
    protocol_version = "HTTP/1.1"
    objects = None

    @classmethod
    def start(cls, objects):
        cls.objects = objects
        server = http.server.ThreadingHTTPServer(_API, cls)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def handle_call(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if self.headers["Authorization"] != f"Bearer {self.objects.account_token}":
                raise ApiError(401, "Unauthorized")
            code, body = 200, self._answer(json.loads(text or "null"))
        except ApiError as error:
            code, body = error.code, {"kind": "Status", "reason": str(error).split()[1]}
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = handle_call

    def log_message(self, *_):
        pass

    def _answer(self, body):
        path, _, query = self.path.partition("?")
        if self.command == "GET" and path == f"{_BASE}/pods":
            [selector] = urllib.parse.parse_qs(query)["labelSelector"]
            wanted = dict(pair.split("=") for pair in selector.split(",")).items()
            return {"items": [pod for pod in self.objects.list(path)
                              if wanted <= pod["metadata"]["labels"].items()]}
        if self.command == "GET" and path.startswith(f"{_BASE}/podtemplates/"):
            return self.objects.get(path)
        if self.command == "POST" and path == f"{_BASE}/pods":
            name = body["metadata"]["name"]
            if name in (pod["metadata"]["name"] for pod in self.objects.list(path)):
                raise ApiError(409, "AlreadyExists")
            body["metadata"]["uid"] = f"{name}-{secrets.token_hex(4)}"
            self.objects.put("pods", name, body)
            return body
        if self.command == "DELETE" and path.startswith(f"{_BASE}/pods/"):
            pod = self.objects.get(path)
            if body["preconditions"]["uid"] != pod["metadata"]["uid"]:
                raise ApiError(409, "Conflict")
            grace = body.get("gracePeriodSeconds", pod["spec"]["terminationGracePeriodSeconds"])
            self.objects.patch(path, {"metadata": {
                **pod["metadata"], "deletionTimestamp": nodes.now(),
                "deletionGracePeriodSeconds": grace}})
            return pod
        raise ApiError(403, "Forbidden")


class Story(Platform):
    WORKER = f"{RELEASE}-worker-default"

    def step_01_the_chart_is_rendered(self):
        self.api = PaperApi()
        values = self.folder / "values.json"
        values.write_text(json.dumps({
            **QUICK, "database": {"existingSecret": "databases"},
            "controller": {"config": {"kubernetes": {"api_server": "http://%s:%d" % _API,
                                                     "ca_file": ""}}},
            "pools": {"default": {"autoscaling": {"mode": "external", "maxReplicas": 3},
                                  "isolatedWorkers": 1}}}))
        rendered = command(
            OPTIONS.helm, "template", RELEASE, OPTIONS.chart, "--namespace", NAMESPACE,
            "--values", values, env={"HELM_CACHE_HOME": str(self.folder / "cache")})
        self.rendered = [body for body in yaml.safe_load_all(rendered.stdout) if body]

    def step_02_its_pods_get_ready(self):
        self.node = nodes.Node(self.api, "node", self.folder / "node", OPTIONS.bin, OPTIONS.library)
        ApiServer.start(self.api)
        postgres = Postgres(self.folder / "postgres")
        self.api.put("secrets", "databases", {"data": postgres.urls()})
        for number, body in enumerate(self.rendered):
            name = body["metadata"]["name"]
            if body["kind"] in ("ConfigMap", "Secret", "PodTemplate"):
                body["metadata"]["uid"] = name
                self.api.put(f"{body['kind'].lower()}s", name, body)
            elif body["kind"] == "Service":
                body["spec"].setdefault("clusterIP", f"10.96.0.{number + 10}")
                self.api.put("services", name, body)
            elif body["kind"] == "StatefulSet":
                self._put_pod(f"{name}-0", body["spec"], "first")
        eventually("all pods", lambda: self.ready_pods() == PODS)

    def step_09_a_worker_that_comes_again_is_found_at_its_new_address(self):
        before = self.pods()[f"{self.WORKER}-0"]["status"]["podIP"]
        self._replace_worker("second")
        assert self.pods()[f"{self.WORKER}-0"]["status"]["podIP"] != before
        self.predicts_again()

    def step_10_a_worker_that_scaling_adds_is_used(self):
        self._put_worker(1, "first")
        eventually("the worker", lambda: f"{self.WORKER}-1" in self.ready_pods())
        self.slipway("deploy", "update", "halves", "--replicas", "2")
        eventually("a second replica", lambda: self._ready_replicas() == 2)

    def step_11_no_call_fails_while_one_of_two_workers_is_replaced(self):
        def replace():
            self._replace_worker("third")
            eventually("both replicas", lambda: self._ready_replicas() == 2)
        failures = self.failures_while(replace)
        assert not failures, failures

    def step_12_a_model_that_a_tenant_uploads_runs_in_a_pod_that_comes_and_goes_with_it(self):
        name = f"{self.WORKER}-isolated-0"
        assert name not in self.pods()
        self.slipway("model", "upload", "digits", _MODEL, "--format", "onnx")
        self.slipway("deploy", "create", "digits", "--model", "digits", "--version", "1", "--wait",
                     "--timeout", "3m")
        pod = self.pods()[name]
        assert pod["metadata"]["annotations"]["slipway.dev/owner"] == "tenants/acme", pod
        assert "tenant=acme" in pod["spec"]["containers"][0]["args"], pod
        outputs = json.loads(self._infer("digits", "picture", 64))["outputs"]
        assert [1, 10] in [output["shape"] for output in outputs], outputs
        # The controller's next process finds it, and the gateway loses nothing meanwhile.
        uid = pod["metadata"]["uid"]
        self._replace_controller()
        self._infer("digits", "picture", 64)
        eventually("the controller", lambda: self.works("deploy", "get", "digits"))
        self.slipway("deploy", "delete", "digits")
        assert self.pods().get(name, pod)["metadata"]["uid"] == uid
        eventually("its end", lambda: name not in self.pods())

    def _infer(self, model, name, size):
        service = self.api.get(f"{_BASE}/services/{RELEASE}-gateway")
        base = f"http://{service['spec']['clusterIP']}/v2/models/{model}"
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

        def ask(path, data=None):
            request = urllib.request.Request(base + path, data=data, headers=headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        [taken] = [i for i in json.loads(ask(""))["inputs"] if i["name"] == name]
        return ask("/infer", json.dumps({"inputs": [{
            "name": name, "datatype": taken["datatype"], "data": [0.5] * size,
            "shape": [max(1, length) for length in taken["shape"]]}]}).encode())

    def _replace_controller(self):
        name = f"{RELEASE}-controller-0"
        self.api.patch(f"{_BASE}/pods/{name}", {"metadata": {
            **self.pods()[name]["metadata"], "deletionTimestamp": nodes.now(),
            "deletionGracePeriodSeconds": QUICK["termination"]["graceSeconds"]}})
        eventually("its end", lambda: name not in self.pods())
        [spec] = [body["spec"] for body in self.rendered if body["kind"] == "StatefulSet" and
                  body["metadata"]["name"] == f"{RELEASE}-controller"]
        self._put_pod(name, spec, "second")
        eventually("the controller", lambda: name in self.ready_pods())

    def _ready_replicas(self):
        shown = self.slipway("deploy", "get", "halves", "-o", "json")
        return json.loads(shown).get("readyReplicas")

    def _replace_worker(self, life):
        name = f"{self.WORKER}-0"
        self.api.patch(f"{_BASE}/pods/{name}", {"metadata": {
            **self.pods()[name]["metadata"], "deletionTimestamp": nodes.now(),
            "deletionGracePeriodSeconds": QUICK["termination"]["graceSeconds"]}})
        eventually("its end", lambda: name not in self.pods())
        self._put_worker(0, life)
        eventually("the worker", lambda: name in self.ready_pods())

    def _put_worker(self, index, life):
        [spec] = [body["spec"] for body in self.rendered if body["kind"] == "StatefulSet" and
                  body["metadata"]["name"] == self.WORKER]
        self._put_pod(f"{self.WORKER}-{index}", spec, life)

    def _put_pod(self, name, spec, life):
        pod = copy.deepcopy(spec["template"])
        pod["metadata"]["uid"] = f"{name}-{life}"
        pod["spec"]["restartPolicy"] = "Always"
        for claim in spec.get("volumeClaimTemplates", []):
            pod["spec"]["volumes"].append({"name": claim["metadata"]["name"], "hostPath": {
                "path": str(self.folder / f"disk-{name}")}})
        self.api.put("pods", name, pod)


if __name__ == "__main__":
    main(Story, __doc__)
