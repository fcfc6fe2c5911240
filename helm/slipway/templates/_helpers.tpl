{{- define "slipway.labels" -}}
app.kubernetes.io/name: slipway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "slipway.metadataLabels" -}}
{{ include "slipway.labels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "slipway.fullname" -}}
{{- $name := printf "%s-%s" .root.Release.Name .component -}}
{{- if gt (len $name) 52 }}{{ fail (printf "%s: the names of pods below it would be too long; choose a shorter release or pool" $name) }}{{ end -}}
{{- $name -}}
{{- end }}

{{- define "slipway.image" -}}
{{- $image := .Values.image -}}
{{- $prefix := ternary "" (printf "%s/" .Values.global.imageRegistry) (empty .Values.global.imageRegistry) -}}
{{- if $image.digest -}}
{{ printf "%s%s@%s" $prefix $image.repository $image.digest }}
{{- else -}}
{{ printf "%s%s:%s" $prefix $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end -}}
{{- end }}

{{/* A pod must outlive its preStop and its draining, or Kubernetes kills it in the middle. */}}
{{- define "slipway.checkTermination" -}}
{{- $t := .Values.termination -}}
{{- if le (int $t.graceSeconds) (add $t.preStopSeconds $t.drainSeconds | int) -}}
{{- fail (printf "termination.graceSeconds (%d) must be more than preStopSeconds + drainSeconds (%d)" (int $t.graceSeconds) (add $t.preStopSeconds $t.drainSeconds | int)) -}}
{{- end -}}
{{- end }}

{{/* The name of a service in the cluster, which is also the one in its certificate. */}}
{{- define "slipway.host" -}}
{{ include "slipway.fullname" . }}.{{ .root.Release.Namespace }}.svc
{{- end }}

{{/* Where a service listens inside the cluster, "<release>-registry.<namespace>.svc:7000". */}}
{{- define "slipway.address" -}}
{{ include "slipway.host" . }}:7000
{{- end }}

{{/* The names in a component's certificate, as JSON. Workers are dialled one by one, below theirs. */}}
{{- define "slipway.hosts" -}}
{{- $host := include "slipway.host" . -}}
{{- $hosts := list $host (printf "%s.cluster.local" $host) -}}
{{- if hasPrefix "worker-" .component }}{{ $hosts = concat $hosts (list (printf "*.%s" $host) (printf "*.%s.cluster.local" $host)) }}{{ end -}}
{{- $hosts | toJson -}}
{{- end }}

{{- define "slipway.identitySecret" -}}
{{ default (printf "%s-identity" .Release.Name) .Values.identity.existingSecret }}
{{- end }}

{{/* The components that run, as a JSON object {"names": [...]}: the services, then the pools. */}}
{{- define "slipway.components" -}}
{{- $names := list "gateway" "registry" "training" "controller" }}
{{- range $name, $pool := .Values.pools }}
{{- if $pool.enabled }}{{ $names = append $names (printf "worker-%s" $name) }}{{ end }}
{{- if and $pool.enabled $pool.isolatedWorkers }}{{ $names = append $names (printf "worker-%s-isolated" $name) }}{{ end }}
{{- end }}
{{- if ne (len $names) (len (uniq $names)) }}{{ fail "pools: the name of one is that of another with \"-isolated\" behind it" }}{{ end }}
{{- dict "names" $names | toJson -}}
{{- end }}

{{/* Whether the controller makes pods: "true" or "". */}}
{{- define "slipway.makesPods" -}}
{{- range .Values.pools }}{{ if and .enabled .isolatedWorkers }}true{{ end }}{{ end }}
{{- end }}

{{/* How many workers a pool has at most. */}}
{{- define "slipway.poolSize" -}}
{{- $scaling := default dict .autoscaling -}}
{{- if eq (default "none" $scaling.mode) "none" }}{{ .replicas }}{{ else }}{{ $scaling.maxReplicas }}{{ end }}
{{- end }}

{{/* Of a service that makes spans: a part of its settings. */}}
{{- define "slipway.tracing" -}}
{{- with .Values.tracing }}{{ if .endpoint }}
tracing:
  endpoint: {{ .endpoint | quote }}
  sample_ratio: {{ .sampleRatio }}
{{- end }}{{ end }}
{{- end }}

{{- define "slipway.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "slipway.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The pod of a service: .root, .component, .program, .values, .resources */}}
{{- define "slipway.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "slipway.labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ .config | sha256sum }}
spec:
  serviceAccountName: {{ include "slipway.fullname" . }}
  automountServiceAccountToken: {{ default false .apiAccess }}
  enableServiceLinks: false
  {{- with .subdomain }}
  restartPolicy: Never
  subdomain: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ $root.Values.termination.graceSeconds }}
  {{- include "slipway.podSecurity" . | nindent 2 }}
  {{- with $root.Values.global.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .container }}
      image: {{ include "slipway.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [/usr/bin/{{ .program }}]
      args: [--config, /etc/slipway/config.yaml]
      {{- include "slipway.containerSecurity" . | nindent 6 }}
      {{- if and $root.Values.database.existingSecret .database }}
      env:
        - name: SLIPWAY_{{ .component | upper }}_DATABASE
          valueFrom:
            secretKeyRef: {name: {{ $root.Values.database.existingSecret }}, key: {{ .component }}}
      {{- end }}
      ports:
        {{- range $name, $port := .ports }}
        - {name: {{ $name }}, containerPort: {{ $port }}}
        {{- end }}
        - {name: admin, containerPort: 7070}
      startupProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 2
        timeoutSeconds: 2
      {{- /* A worker is asked by name, not by a Service: it waits by itself (drain_delay). */}}
      {{- if ne .container "worker" }}
      lifecycle:
        preStop:
          sleep: {seconds: {{ $root.Values.termination.preStopSeconds }}}
      {{- end }}
      resources: {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/slipway, readOnly: true}
        - {name: tls, mountPath: /etc/slipway-tls, readOnly: true}
        {{- if .publicTls }}
        - {name: public-tls, mountPath: /etc/slipway-public-tls, readOnly: true}
        {{- end }}
        {{- if .objectStores }}
        - {name: object-stores, mountPath: /etc/slipway-object-stores, readOnly: true}
        {{- end }}
        {{- if .identityKeys }}
        - {name: identity, mountPath: /etc/slipway-identity, readOnly: true}
        {{- end }}
        - {name: trust, mountPath: /etc/slipway-trust, readOnly: true}
        - {name: data, mountPath: /var/lib/slipway}
        - {name: tmp, mountPath: /tmp}
        {{- if .values.shmSize }}
        - {name: shm, mountPath: /dev/shm}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "slipway.fullname" . }}}
    - name: tls
      secret: {secretName: {{ include "slipway.fullname" . }}-tls, defaultMode: 0440}
    {{- if .publicTls }}
    - name: public-tls
      secret: {secretName: {{ .publicTls }}, defaultMode: 0440}
    {{- end }}
    {{- if .objectStores }}
    - name: object-stores
      secret: {secretName: {{ .objectStores }}, defaultMode: 0440}
    {{- end }}
    {{- if .identityKeys }}
    - name: identity
      secret:
        secretName: {{ include "slipway.identitySecret" $root }}
        defaultMode: 0440
        items:
          {{- range .identityKeys }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- end }}
    - name: trust
      secret:
        secretName: {{ include "slipway.identitySecret" $root }}
        defaultMode: 0440
        items:
          - {key: gateway.pub, path: gateway.pub}
          - {key: training.pub, path: training.pub}
          - {key: controller.pub, path: controller.pub}
    - name: tmp
      emptyDir: {}
    {{- if .values.shmSize }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ .values.shmSize }}}
    {{- end }}
    {{- if .values.cacheSize }}
    - name: data
      emptyDir: {sizeLimit: {{ .values.cacheSize }}}
    {{- end }}
{{- end }}

{{/* Settings that every service has: a YAML object. .root, .component */}}
{{- define "slipway.commonConfig" -}}
listen: 0.0.0.0:7000
admin_listen: 0.0.0.0:7070
trust_dir: /etc/slipway-trust
tls:
  certificate_file: /etc/slipway-tls/tls.crt
  key_file: /etc/slipway-tls/tls.key
  ca_file: /etc/slipway-tls/ca.crt
drain_timeout: {{ .root.Values.termination.drainSeconds }}s
{{- end }}

{{/* The text of a component's config.yaml. .root, .component, .settings (YAML text), .values */}}
{{- define "slipway.config" -}}
{{- mergeOverwrite (include "slipway.commonConfig" . | fromYaml) (.settings | fromYaml) .values.config | toYaml -}}
{{- end }}

{{/* What a component's pods need around them. As slipway.pod, and .service. */}}
{{- define "slipway.surroundings" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "slipway.fullname" . }}
  labels: {{- include "slipway.metadataLabels" . | nindent 4 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "slipway.fullname" . }}
  labels: {{- include "slipway.metadataLabels" . | nindent 4 }}
data:
  config.yaml: |
    {{- .config | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ include "slipway.fullname" . }}
  labels: {{- include "slipway.metadataLabels" . | nindent 4 }}
spec:
  {{- .service | nindent 2 }}
  selector: {{- include "slipway.labels" . | nindent 4 }}
{{- end }}

{{/*
Everything of one service. As slipway.pod, and .replicas (absent: something else scales it), .most
(how many there may be), .service, .settings (YAML text).
A StatefulSet also for workers: the controller dials each by its name, and a rolling update never
needs more accelerators than there are.
*/}}
{{- define "slipway.service" -}}
{{- include "slipway.checkTermination" .root }}
{{- $scope := merge (dict "config" (include "slipway.config" .)) . -}}
{{ include "slipway.surroundings" $scope }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ include "slipway.fullname" . }}
  labels: {{- include "slipway.metadataLabels" . | nindent 4 }}
spec:
  {{- if .replicas }}
  replicas: {{ .replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "slipway.labels" . | nindent 6 }}
  serviceName: {{ include "slipway.fullname" . }}
  podManagementPolicy: Parallel
  template:
    {{- include "slipway.pod" $scope | nindent 4 }}
  {{- if .values.storage }}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .values.storage.className }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests: {storage: {{ .values.storage.size }}}
  {{- end }}
{{- if gt (int .most) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "slipway.fullname" . }}
  labels: {{- include "slipway.metadataLabels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "slipway.labels" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "slipway.innerService" -}}
ports:
  - {name: grpc, port: 7000, targetPort: grpc, appProtocol: grpc}
  - {name: admin, port: 7070, targetPort: admin}
{{- end }}
