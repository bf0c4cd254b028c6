{{/* Names and labels, and which services have pods of their own. */}}

{{- define "agentspan.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "agentspan.selector" -}}
app.kubernetes.io/name: agentspan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "agentspan.labels" -}}
{{ include "agentspan.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/*
The workloads as YAML: name -> roles, values (their key in .Values), stateful.
By an Ingress reads and writes can't be told apart, so one workload has the doors of both.
*/}}
{{- define "agentspan.workloads" -}}
{{- $byPath := eq .Values.expose.type "ingress" }}
orchestrator:
  values: orchestrator
  roles: {{ ternary "orchestrator,query" "orchestrator" $byPath }}
  stateful: true
tool-runner:
  values: toolRunner
  roles: tool-runner
  stateful: {{ .Values.toolRunner.data.persistent }}
approvals:
  values: approvals
  roles: approvals
  stateful: {{ .Values.approvals.data.persistent }}
{{- if not $byPath }}
query:
  values: query
  roles: query
  stateful: {{ .Values.query.data.persistent }}
{{- end }}
{{- end }}

{{/* The workload that serves reads and pages. */}}
{{- define "agentspan.reader" -}}
{{ ternary "orchestrator" "query" (eq .Values.expose.type "ingress") }}
{{- end }}

{{/* What the values can't say by their schema. */}}
{{- define "agentspan.refusals" -}}
{{- $exposed := ne .Values.expose.type "none" }}
{{- $several := or (gt (int .Values.toolRunner.replicas) 1) .Values.toolRunner.autoscaling.enabled }}
{{- if and $exposed $several (not .Values.expose.stickyWorkers) }}
{{- fail "a worker's session lives in one tool-runner: keep clients with their pod and set expose.stickyWorkers=true, or set toolRunner.replicas=1" }}
{{- end }}
{{- if and $exposed .Values.networkPolicy.enabled (not .Values.networkPolicy.from) }}
{{- fail "networkPolicy.from is empty, so that nobody reaches the services: name the pods of what stands in front" }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.metrics.from) }}
{{- fail "metrics.from is empty, so that the NetworkPolicy lets nobody scrape: name Prometheus' pods" }}
{{- end }}
{{- if and .Values.orchestrator.keda.enabled .Values.orchestrator.autoscaling.enabled }}
{{- fail "orchestrator.keda and orchestrator.autoscaling would both scale it: enable one" }}
{{- end }}
{{- end }}
