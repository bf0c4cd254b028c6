{{/* The pods: one image, told apart by their roles. Called with root, name, workload. */}}

{{/* A probe's request. The services answer to no host but localhost and their own names, and a pod's address is neither. */}}
{{- define "agentspan.probe" -}}
httpGet:
  path: {{ . }}
  port: http
  httpHeaders:
    - { name: Host, value: localhost }
{{- end }}

{{- define "agentspan.env" -}}
{{- $values := .root.Values }}
{{- $roles := splitList "," .workload.roles }}
- { name: AGENTSPAN_ROLES, value: {{ .workload.roles | quote }} }
- { name: AGENTSPAN_HOST, value: "0.0.0.0" }
- { name: AGENTSPAN_PORT, value: "6767" }
- { name: AGENTSPAN_METRICS_PORT, value: {{ $values.metrics.port | quote }} }
# the NetworkPolicy and what stands in front make it true
- { name: AGENTSPAN_TRUSTED_PROXY, value: "true" }
- { name: AGENTSPAN_ALLOWED_HOSTS, value: {{ join "," $values.hosts | quote }} }
- { name: AGENTSPAN_DATA, value: /data }
- { name: AGENTSPAN_LOG, value: {{ printf "kafka://%s?prefix=%s" $values.kafka.brokers $values.kafka.prefix | quote }} }
- { name: AGENTSPAN_LOG_LEVEL, value: {{ $values.logLevel }} }
{{- with index $values.kafka.securitySecrets .name | default $values.kafka.securitySecret.name }}
- name: AGENTSPAN_KAFKA_SECURITY
  valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $values.kafka.securitySecret.key }} } }
{{- end }}
{{- if and (has "orchestrator" $roles) $values.orchestrator.staticMembership }}
- name: AGENTSPAN_KAFKA_INSTANCE_ID
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- end }}
{{- if or (has "orchestrator" $roles) (has "tool-runner" $roles) }}
- { name: AGENTSPAN_LEASE_S, value: {{ $values.leaseSeconds | quote }} }
{{- end }}
{{- if has "tool-runner" $roles }}
- { name: AGENTSPAN_MODEL_CALLS, value: {{ $values.toolRunner.modelCalls | quote }} }
{{- with $values.anthropic.keySecret }}{{ if .name }}
- { name: ANTHROPIC_API_KEY_FILE, value: {{ printf "/etc/agentspan/anthropic/%s" .key }} }
{{- end }}{{ end }}
{{- end }}
{{- if has "query" $roles }}
- { name: AGENTSPAN_CLICKHOUSE, value: {{ $values.clickhouse.url | quote }} }
- { name: AGENTSPAN_CLICKHOUSE_MIGRATE, value: {{ $values.clickhouse.migrate | quote }} }
{{- with $values.clickhouse.historyDays }}
- { name: AGENTSPAN_HISTORY_DAYS, value: {{ . | quote }} }
{{- end }}
{{- with $values.clickhouse.passwordSecret }}{{ if .name }}
- name: AGENTSPAN_CLICKHOUSE_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .name }}, key: {{ .key }} } }
{{- end }}{{ end }}
{{- end }}
{{- with (index $values .workload.values).env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "agentspan.pod" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $config := index $values .workload.values }}
{{- $roles := splitList "," .workload.roles }}
{{- $anthropic := and (has "tool-runner" $roles) $values.anthropic.keySecret.name }}
metadata:
  labels:
    {{- include "agentspan.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  serviceAccountName: {{ include "agentspan.name" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # time for the proxy to look elsewhere, then for open requests to end
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "agentspan.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ .name }}
  containers:
    - name: {{ .name }}
      image: {{ printf "%s:%s" $values.image.repository ($values.image.tag | default $root.Chart.AppVersion) | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [server, start]
      env: {{ include "agentspan.env" . | nindent 8 }}
      ports:
        - { name: http, containerPort: 6767 }
        - { name: metrics, containerPort: {{ $values.metrics.port }} }
      startupProbe:
        {{- include "agentspan.probe" "/livez" | nindent 8 }}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        {{- include "agentspan.probe" "/livez" | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        {{- include "agentspan.probe" "/readyz" | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      lifecycle:
        preStop: { exec: { command: [sleep, "5"] } }
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      {{- with $config.resources }}
      resources: {{ toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - { name: data, mountPath: /data }
        - { name: tmp, mountPath: /tmp }
        {{- if $values.kafka.filesSecret }}
        - { name: kafka, mountPath: /etc/agentspan/kafka, readOnly: true }
        {{- end }}
        {{- if $anthropic }}
        - { name: anthropic, mountPath: /etc/agentspan/anthropic, readOnly: true }
        {{- end }}
  volumes:
    {{- if not $config.data.persistent }}
    - { name: data, emptyDir: { sizeLimit: {{ $config.data.size }} } }
    {{- end }}
    - { name: tmp, emptyDir: { sizeLimit: 64Mi } }
    {{- if $values.kafka.filesSecret }}
    - { name: kafka, secret: { secretName: {{ $values.kafka.filesSecret }}, defaultMode: 0440 } }
    {{- end }}
    {{- if $anthropic }}
    - { name: anthropic, secret: { secretName: {{ $values.anthropic.keySecret.name }}, defaultMode: 0440 } }
    {{- end }}
{{- end }}
