"""A node of a cluster that needs no container engine: the pods that the scheduler gives it run as
plain processes, each in a network and mount namespace of its own (pod.sh), with the volumes, the
probes, the preStop pause and the grace period that their specs name. Services are reached by their
cluster IP through a small proxy, and by name through /etc/hosts.

What a kubelet does that this does not: pull images (the programs are the ones just built), cgroups,
NetworkPolicy, logs and exec through the API, projected volumes. A pod that asks for something else
that is not known here fails, rather than to run without it."""
import base64
import datetime
import http.client
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
import traceback

from api import ApiError

HERE = pathlib.Path(__file__).parent
HOST = "10.244.0.1"
SERVICE_RANGE = "10.96.0.0/16"


def run(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Proxy(threading.Thread):
    """One port of one Service's cluster IP: passes connections on to an endpoint that is ready."""

    def __init__(self, address, port, backends):
        super().__init__(daemon=True)
        self._backends = backends
        self._listener = socket.create_server((address, port), backlog=64)
        self.start()

    def run(self):
        while True:
            near, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        backends = list(self._backends())
        random.shuffle(backends)
        for backend in backends:
            try:
                far = socket.create_connection(backend, timeout=5)
            except OSError:
                continue
            far.settimeout(None)
            threading.Thread(target=self._pump, args=(far, near), daemon=True).start()
            self._pump(near, far)
            return
        near.close()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Network(threading.Thread):
    """The pods' bridge; Services' names and cluster IPs."""

    def __init__(self, api, etc):
        super().__init__(daemon=True)
        self._api = api
        self._etc = etc
        self._proxies = {}
        self._ready = {}  # (namespace, service, port's name) -> [(address, port)]
        self._next = 1
        self._lock = threading.Lock()
        run("mount", "-t", "tmpfs", "run", "/run")
        # An address of its own: it would change with the first pod whose is lower.
        run("ip", "link", "add", "pods", "address", "02:00:00:00:00:01", "type", "bridge")
        run("ip", "address", "add", f"{HOST}/16", "dev", "pods")
        run("ip", "link", "set", "pods", "up")
        run("ip", "route", "add", "local", SERVICE_RANGE, "dev", "lo")
        pathlib.Path("/proc/sys/net/ipv4/ip_nonlocal_bind").write_text("1")
        (etc / "passwd").write_text("slipway:x:10001:10001::/:/usr/sbin/nologin\n")
        (etc / "group").write_text("slipway:x:10001:\n")
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        (etc / "nsswitch.conf").write_text("hosts: files\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n")

    def add_pod(self):
        """A network namespace with an address of its own: its name and its address."""
        with self._lock:
            self._next += 1
            number = self._next
        name, address = f"pod{number}", f"10.244.{number // 250}.{number % 250 + 1}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", "pods", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "address", "add", f"{address}/16", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "route", "add", "default", "via", HOST)
        return name, address

    @staticmethod
    def remove_pod(name):
        run("ip", "netns", "delete", name)

    def run(self):
        while True:
            try:
                self._look()
            except (ApiError, OSError, http.client.HTTPException):
                pass
            time.sleep(0.2)

    def _look(self):
        ready, hosts = {}, ["127.0.0.1 localhost"]
        services = {(s["metadata"]["namespace"], s["metadata"]["name"]): s["spec"]
                    for s in self._api.list("/api/v1/services")}
        for part in self._api.list("/apis/discovery.k8s.io/v1/endpointslices"):
            namespace = part["metadata"]["namespace"]
            service = part["metadata"]["labels"].get("kubernetes.io/service-name")
            spec = services.get((namespace, service), {})
            for endpoint in part.get("endpoints") or []:
                if not endpoint["conditions"].get("ready"):
                    continue
                address = endpoint["addresses"][0]
                for port in part["ports"] or []:
                    ready.setdefault((namespace, service, port["name"]), []).append(
                        (address, port["port"]))
                if spec.get("clusterIP") == "None" and endpoint.get("hostname"):
                    hosts.append(self._names(address, f"{endpoint['hostname']}.{service}",
                                             namespace))
        for (namespace, service), spec in services.items():
            if spec.get("clusterIP") in (None, "None"):
                continue
            hosts.append(self._names(spec["clusterIP"], service, namespace))
            for port in spec["ports"]:
                key = (namespace, service, port.get("name"))
                where = (spec["clusterIP"], port["port"])
                # The API server's own has no endpoints here.
                if where not in self._proxies and service != "kubernetes":
                    self._proxies[where] = Proxy(*where, lambda key=key: self._ready.get(key, []))
        self._ready = ready
        fresh = self._etc / "hosts.new"
        fresh.write_text("\n".join(hosts) + "\n")
        fresh.rename(self._etc / "hosts")

    @staticmethod
    def _names(address, name, namespace):
        full = f"{name}.{namespace}"
        return f"{address} {full}.svc {full}.svc.cluster.local {full} {name}"


class Pod(threading.Thread):
    """The life of one pod."""

    def __init__(self, node, pod):
        super().__init__(daemon=True)
        self._node = node
        self._pod = pod
        self._spec = pod["spec"]
        self._name = pod["metadata"]["name"]
        self._namespace = pod["metadata"]["namespace"]
        self._path = f"/api/v1/namespaces/{self._namespace}/pods/{self._name}"
        self._api = node.control_plane.api()
        self._folder = node.folder / pod["metadata"]["uid"]
        self._restarts = 0
        self.pid = None  # of its container
        self.environment = {}
        self.deleted_at = None  # set by the node, with the grace period that is left
        self.grace = 30

    def is_named(self, name):
        return self._name == name and self.deleted_at is None

    def run(self):
        try:
            self._live()
        except Exception:  # pylint: disable=broad-except
            self._node.log(f"{self._name}: {traceback.format_exc()}")
            self._report("Failed", ready=False, address=None, code=1)
        while self.deleted_at is None:
            time.sleep(0.1)
        self._api.call("DELETE", self._path, {"gracePeriodSeconds": 0})

    def _live(self):
        (self._folder / "root").mkdir(parents=True)
        mounts = self._mounts()
        namespace, address = self._node.network.add_pod()
        try:
            for container in self._spec.get("initContainers", []):
                if self._run(container, namespace, mounts, address, once=True) != 0:
                    raise RuntimeError(f"{container['name']} failed")
            [container] = self._spec["containers"]
            once = self._spec["restartPolicy"] != "Always"
            code = self._run(container, namespace, mounts, address, once)
            if self.deleted_at is None:
                self._report("Succeeded" if code == 0 else "Failed", False, address, code)
        finally:
            self._node.network.remove_pod(namespace)

    # Starts the container, again where it ends unless `once`; its exit code.
    def _run(self, container, namespace, mounts, address, once):
        while True:
            process = self._start(container, namespace, mounts)
            self.pid = process.pid
            code = self._watch(container, process, address)
            if once or self.deleted_at is not None or self._node.stopping.is_set():
                return code
            self._node.log(f"{self._name}: {container['name']} ended with {code}")
            self._restarts += 1
            self._report("Running", False, address)
            time.sleep(min(10, self._restarts))

    def _watch(self, container, process, address):
        started = ready = None
        while process.poll() is None:
            if self.deleted_at is not None:
                return self._stop(container, process, address)
            if started is None and self._asks_well(container, "startupProbe", address):
                started = time.monotonic()
            is_ready = started is not None and self._asks_well(container, "readinessProbe", address)
            if is_ready != ready:
                ready = is_ready
                self._report("Running", ready, address)
            time.sleep(0.2)
        return process.returncode

    def _stop(self, container, process, address):
        end = time.monotonic() + self.grace
        self._report("Running", False, address)
        pause = container.get("lifecycle", {}).get("preStop", {})
        if pause:
            time.sleep(min(pause["sleep"]["seconds"], self.grace))
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._node.log(f"{self._name}: outlived its grace period and was killed")
            process.kill()
        return process.wait()

    @staticmethod
    def _asks_well(container, kind, address):
        if kind not in container:
            return True
        probe = container[kind]["httpGet"]
        [port] = [p["containerPort"] for p in container["ports"] if p["name"] == probe["port"]]
        connection = http.client.HTTPConnection(address, port, timeout=2)
        try:
            connection.request("GET", probe["path"])
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _start(self, container, namespace, mounts):
        listed = []
        for mount in container.get("volumeMounts", []):
            mode = "ro" if mount.get("readOnly") else "rw"
            listed.append(f"{mode} {mounts[mount['name']]} {mount['mountPath']}\n")
        if self._spec.get("automountServiceAccountToken"):
            account = self._folder / "account"
            account.mkdir(exist_ok=True)
            (account / "token").write_text(self._node.control_plane.account_token)
            listed.append(f"ro {account} /var/run/secrets/kubernetes.io/serviceaccount\n")
        # Libraries that the image would carry.
        for library in self._node.libraries:
            listed.append(f"ro {library} {library}\n")
        table = self._folder / f"{container['name']}.mounts"
        table.write_text("".join(listed))
        command = container["command"] + container.get("args", [])
        self.environment = self._environment(container)
        with open(self._node.folder / f"{self._name}.log", "ab") as log:
            return subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{namespace}", "unshare", "--mount", "--propagation",
                 "private", HERE / "pod.sh", self._folder / "root", self._node.programs,
                 self._node.etc, table, "--", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", **self.environment})

    def _environment(self, container):
        environment = {}
        for entry in container.get("env", []):
            if "value" in entry:
                environment[entry["name"]] = entry["value"]
            else:
                wanted = entry["valueFrom"]["secretKeyRef"]
                data = self._data("secrets", wanted["name"])
                environment[entry["name"]] = data[wanted["key"]].decode()
        return environment

    def _data(self, kind, name):
        found = self._wait(f"/api/v1/namespaces/{self._namespace}/{kind}/{name}")
        if kind == "configmaps":
            return {key: text.encode() for key, text in found.get("data", {}).items()}
        return {key: base64.b64decode(text) for key, text in found.get("data", {}).items()}

    def _wait(self, path):
        told = False
        while True:
            try:
                return self._api.get(path)
            except ApiError as error:
                if error.code != 404 or self.deleted_at is not None:
                    raise
            if not told:
                self._node.log(f"{self._name}: waits for {path}")
                told = True
            time.sleep(0.2)

    def _mounts(self):
        mounts = {}
        for volume in self._spec.get("volumes", []):
            path = self._folder / "volumes" / volume["name"]
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                found = self._wait(
                    f"/api/v1/namespaces/{self._namespace}/persistentvolumeclaims/{claim}")
                disk = self._api.get(f"/api/v1/persistentvolumes/{found['spec']['volumeName']}")
                path = pathlib.Path(disk["spec"]["hostPath"]["path"])
                path.mkdir(parents=True, exist_ok=True)
            elif "hostPath" in volume:
                path = pathlib.Path(volume["hostPath"]["path"])
                path.mkdir(exist_ok=True)
            else:
                path.mkdir(parents=True)
            if "configMap" in volume:
                source = volume["configMap"]
                self._write(path, self._data("configmaps", source["name"]), source)
            elif "secret" in volume:
                source = volume["secret"]
                self._write(path, self._data("secrets", source["secretName"]), source)
            elif not {"emptyDir", "persistentVolumeClaim", "hostPath"} & volume.keys():
                raise RuntimeError(f"no such volume here: {volume}")
            mounts[volume["name"]] = path
        return mounts

    @staticmethod
    def _write(folder, data, source):
        wanted = {item["key"]: item["path"] for item in source.get("items", [])} or \
            {key: key for key in data}
        for key, name in wanted.items():
            (folder / name).write_bytes(data[key])
            (folder / name).chmod(source.get("defaultMode", 0o644))

    def _report(self, phase, ready, address, code=None):
        [container] = self._spec["containers"]
        state = {"running": {"startedAt": now()}} if code is None else \
            {"terminated": {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}}
        yes = {True: "True", False: "False"}
        status = {
            "phase": phase, "startTime": now(),
            "conditions": [{"type": kind, "status": yes[value], "lastTransitionTime": now()}
                           for kind, value in (("Initialized", True), ("PodScheduled", True),
                                               ("ContainersReady", ready), ("Ready", ready))],
            "containerStatuses": [{"name": container["name"], "image": container["image"],
                                   "imageID": "", "ready": ready, "started": ready,
                                   "restartCount": self._restarts, "state": state}]}
        if address is not None:
            status.update(hostIP=HOST, podIP=address, podIPs=[{"ip": address}])
        try:
            self._api.patch(self._path + "/status", {"status": status})
        except ApiError as error:
            if error.code != 404:
                raise


class Node(threading.Thread):
    """`programs`: what the image holds in /usr/bin. `libraries`: folders that they need."""

    def __init__(self, control_plane, name, folder, programs, libraries):
        super().__init__(daemon=True)
        self.control_plane = control_plane
        self.folder = pathlib.Path(folder)
        self.programs = programs
        self.libraries = libraries
        self.etc = self.folder / "etc"
        self.etc.mkdir(parents=True)
        self._api = control_plane.api()
        self._name = name
        self._pods = {}
        # Set: what ends is left as it is.
        self.stopping = threading.Event()
        self.network = Network(control_plane.api(), self.etc)
        self.network.start()
        self.start()

    def execute(self, pod, *arguments):
        """What `kubectl exec` does, in the pod's one container. Returns its standard output."""
        [its] = [p for p in self._pods.values() if p.is_named(pod)]
        return subprocess.run(
            ["nsenter", "--target", str(its.pid), "--user", "--mount", "--net",
             "--preserve-credentials", *arguments], check=True, stdout=subprocess.PIPE, text=True,
            env={"PATH": "/usr/bin", **its.environment}, cwd="/").stdout

    def log(self, text):
        if not self.stopping.is_set():
            with open(self.folder / "node.log", "a", encoding="utf-8") as log:
                log.write(f"{now()} {text}\n")

    def run(self):
        while True:
            try:
                self._look()
            except (ApiError, OSError, http.client.HTTPException) as error:
                self.log(str(error))
            time.sleep(0.2)

    def _look(self):
        pods = self._api.list(f"/api/v1/pods?fieldSelector=spec.nodeName={self._name}")
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid not in self._pods:
                self._pods[uid] = Pod(self, pod)
                self._pods[uid].start()
            deleted = pod["metadata"].get("deletionTimestamp")
            if deleted and self._pods[uid].deleted_at is None:
                self._pods[uid].grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
                self._pods[uid].deleted_at = deleted
