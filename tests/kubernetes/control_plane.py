"""etcd and kube-apiserver as plain processes on 127.0.0.1, with certificates and a token of their
own and RBAC on. Belongs in a network namespace of its own, where every port is free; what it starts
dies with the namespace of its processes."""
import base64
import http.client
import json
import pathlib
import secrets
import subprocess
import time

from api import Api, ApiError
from node import SERVICE_RANGE

API = ("127.0.0.1", 6443)
_ETCD = "http://127.0.0.1:2379"


class ControlPlane:
    """`tools`: the folder of the programs; `folder`: for state, certificates and logs."""

    def __init__(self, tools, folder):
        self._tools = pathlib.Path(tools)
        self._folder = pathlib.Path(folder)
        self._folder.mkdir()
        self._tokens = []
        self._processes = {}
        self.ca_file = self._folder / "ca.crt"
        self.kubeconfig = self._folder / "admin.kubeconfig"
        self.admin_token = None

    def start(self):
        self._make_certificates()
        self.admin_token = self._make_kubeconfig("admin", "admin", "system:masters")
        tokens = self._folder / "tokens.csv"
        tokens.write_text("".join(self._tokens))
        self._spawn("etcd", "--data-dir", self._folder / "etcd", "--unsafe-no-fsync",
                    "--listen-client-urls", _ETCD, "--advertise-client-urls", _ETCD)
        self._spawn(
            "kube-apiserver", "--etcd-servers", _ETCD, "--bind-address", API[0],
            "--advertise-address", API[0], "--secure-port", API[1],
            "--endpoint-reconciler-type", "none", "--service-cluster-ip-range", SERVICE_RANGE,
            "--cert-dir", self._folder, "--tls-cert-file", self._folder / "api.crt",
            "--tls-private-key-file", self._folder / "api.key", "--client-ca-file", self.ca_file,
            "--token-auth-file", tokens, "--authorization-mode", "Node,RBAC",
            "--anonymous-auth=false", "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", self._folder / "accounts.pub",
            "--service-account-signing-key-file", self._folder / "accounts.key")
        self.wait(lambda: self.api().get("/version"), "kube-apiserver")

    def api(self):
        return Api(API, self.ca_file, self.admin_token)

    def wait(self, ask, what, limit=180):
        """Returns what `ask` does once it raises nothing any more."""
        end = time.monotonic() + limit
        while True:
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended:\n{self._tail(name)}")
            try:
                return ask()
            except (ApiError, OSError, http.client.HTTPException) as error:
                if time.monotonic() > end:
                    raise RuntimeError(
                        f"{what} is not ready: {error}\n{self._tail(what)}") from error
            time.sleep(0.1)

    def _tail(self, name):
        log = self._folder / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else ""

    def _spawn(self, name, *arguments):
        with open(self._folder / f"{name}.log", "wb") as log:
            self._processes[name] = subprocess.Popen(
                [self._tools / name, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self._folder)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)

    def _make_certificates(self):
        for key in ("ca.key", "api.key", "accounts.key"):
            self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        self._openssl("ec", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")
        self._openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=test", "-days", "2",
                      "-out", "ca.crt", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._openssl("req", "-new", "-key", "api.key", "-subj", "/CN=kube-apiserver", "-out",
                      "api.csr")
        names = self._folder / "api.names"
        names.write_text(f"subjectAltName=IP:{API[0]}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("x509", "-req", "-in", "api.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                      "-CAcreateserial", "-days", "2", "-extfile", "api.names", "-out", "api.crt")

    def _make_kubeconfig(self, name, user, groups=""):
        token = secrets.token_hex(20)
        self._tokens.append(f'{token},{user},{user},"{groups}"\n')
        ca = base64.b64encode(self.ca_file.read_bytes()).decode()
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": f"https://{API[0]}:{API[1]}", "certificate-authority-data": ca}}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}]}
        path = self._folder / f"{name}.kubeconfig"
        path.touch(0o600)
        path.write_text(json.dumps(config))
        return token
