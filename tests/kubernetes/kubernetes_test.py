#!/usr/bin/env python3
"""The chart on a real Kubernetes API server, by the real helm: what it takes, and what installing,
upgrading, rolling back and uninstalling do to it. No pod runs here: chart_test.py runs them."""
import json
import os
import subprocess

import control_plane
from platform_in_pods import (COMPONENTS, NAMESPACE, OPTIONS, PODS, QUICK, RELEASE, Story, command,
                              main)

LIVING = {"statefulsets": "apis/apps/v1", "services": "api/v1", "configmaps": "api/v1",
          "serviceaccounts": "api/v1", "podtemplates": "api/v1",
          "networkpolicies": "apis/networking.k8s.io/v1",
          "roles": "apis/rbac.authorization.k8s.io/v1",
          "poddisruptionbudgets": "apis/policy/v1",
          "horizontalpodautoscalers": "apis/autoscaling/v2"}
SCALED = {"autoscaling": {"mode": "horizontalPodAutoscaler"}}
EVERYTHING = {"gateway": {"replicas": 3}, "database": {"existingSecret": "databases"},
              "pools": {"default": SCALED, "gpu": {"enabled": True, **SCALED}}}


class Kubernetes(Story):
    def __init__(self, folder):
        super().__init__(folder)
        self.plane = control_plane.ControlPlane(OPTIONS.tools, folder / "control-plane")
        self.made = None
        self.env = {"KUBECONFIG": str(self.plane.kubeconfig), "KUBECACHEDIR": str(folder / "cache"),
                    **{f"HELM_{kind}_HOME": str(folder / f"helm-{kind.lower()}")
                       for kind in ("CACHE", "CONFIG", "DATA")}}

    def helm(self, *arguments, values=None):
        path = self.folder / "values.json"
        path.write_text(json.dumps({**QUICK, **(values or {})}))
        if arguments[0] in ("install", "upgrade", "template"):
            arguments += ("--values", path)
        return command(OPTIONS.helm, *arguments, "--namespace", NAMESPACE, env=self.env)

    def apply(self, text):
        """A dry run of the server's. What it warns of is wrong, too."""
        taken = command(OPTIONS.kubectl, "apply", "--server-side", "--dry-run=server",
                        "--validate=strict", "--namespace", NAMESPACE, "-f", "-", env=self.env,
                        text=text)
        assert "Warning" not in taken.stderr, taken.stderr

    def living(self):
        return {f"{kind}/{name}" for kind, group in LIVING.items()
                for name in self.objects(group, kind)}

    def made_once(self):
        """Name -> data of the Secrets that the chart made."""
        return {name: secret["data"] for name, secret in self.objects("api/v1", "secrets").items()
                if name.startswith(f"{RELEASE}-")}

    def config_of(self, component):
        return self.objects("api/v1", "configmaps")[f"{RELEASE}-{component}"]["data"]["config.yaml"]

    def step_01_an_api_server(self):
        self.plane.start()
        self.api = self.plane.api()
        level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        self.api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": level}})

    def step_02_it_takes_every_object_strictly(self):
        for values in ({}, EVERYTHING):
            self.apply(self.helm("template", RELEASE, OPTIONS.chart, values=values).stdout)

    def step_03_one_command_installs(self):
        self.helm("install", RELEASE, OPTIONS.chart)
        assert {f"statefulsets/{name.removesuffix('-0')}" for name in PODS} <= self.living()
        self.made = self.made_once()
        assert set(self.made) == {f"{RELEASE}-{name}" for name in (
            "identity", "ca", *(f"{component}-tls" for component in COMPONENTS))}, self.made.keys()

    def step_04_its_pods_keep_the_restricted_standard(self):
        for name, body in self.objects("apis/apps/v1", "statefulsets").items():
            pod = body["spec"]["template"]
            for claim in body["spec"].get("volumeClaimTemplates", []):
                pod["spec"]["volumes"].append({
                    "name": claim["metadata"]["name"],
                    "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}})
            self.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": pod["spec"],
                                   "metadata": {**pod["metadata"], "name": name}}))

    def step_05_the_controller_makes_isolated_workers_by_its_own_account_and_can_do_no_more(self):
        # Pods that no account was made for by now would be refused: nobody runs its controller here.
        account = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-controller"
        token = self.api.create(
            f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{RELEASE}-controller/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
        path = self.folder / "token"
        path.write_text(token["status"]["token"])
        command(OPTIONS.pool_test, "--gtest_filter=KubernetesApiServerTest.*", env={
            "SLIPWAY_TEST_API_SERVER": f"https://{control_plane.API[0]}:{control_plane.API[1]}",
            "SLIPWAY_TEST_CA_FILE": str(self.plane.ca_file), "SLIPWAY_TEST_TOKEN_FILE": str(path),
            "SLIPWAY_TEST_NAMESPACE": NAMESPACE,
            "SLIPWAY_TEST_POD_TEMPLATE": f"{RELEASE}-worker-default-isolated"})
        for allowed, *what in (
                (True, "create", "pods"), (True, "delete", "pods"), (False, "get", "secrets"),
                (False, "list", "secrets"), (False, "create", "pods", "--subresource=exec"),
                (False, "create", "deployments.apps"), (False, "update", "podtemplates"),
                (False, "create", "roles.rbac.authorization.k8s.io")):
            answer = subprocess.run(
                [OPTIONS.kubectl, "auth", "can-i", *what, "--as", account, "--namespace",
                 NAMESPACE], capture_output=True, text=True, env={**os.environ, **self.env},
                check=False).stdout.strip()
            assert answer == ("yes" if allowed else "no"), (what, answer)

    def step_06_an_upgrade_changes_the_config_and_no_secret(self):
        self.helm("upgrade", RELEASE, OPTIONS.chart, values={
            **EVERYTHING, "gateway": {"config": {"server_name": "upgraded"}}})
        assert "server_name: upgraded" in self.config_of("gateway")
        assert f"horizontalpodautoscalers/{RELEASE}-worker-gpu" in self.living()
        now = self.made_once()
        fresh = now.pop(f"{RELEASE}-worker-gpu-tls")
        assert now == self.made, "an upgrade touched a Secret"
        assert fresh["ca.crt"] == self.made[f"{RELEASE}-gateway-tls"]["ca.crt"]
        self.made = self.made_once()

    def step_07_a_rollback_does_too(self):
        self.helm("rollback", RELEASE, "1")
        assert "upgraded" not in self.config_of("gateway")
        assert f"statefulsets/{RELEASE}-worker-gpu" not in self.living()
        assert self.made_once() == self.made, "a rollback touched a Secret"

    def step_08_uninstalling_leaves_the_secrets_alone_and_installing_again_finds_them(self):
        self.helm("uninstall", RELEASE)
        assert not self.living(), self.living()
        assert self.made_once() == self.made, "uninstalling touched a Secret"
        self.helm("install", RELEASE, OPTIONS.chart)
        assert self.made_once() == self.made, "installing again touched a Secret"


if __name__ == "__main__":
    main(Kubernetes, __doc__, "tools", "kubectl", "pool-test")
