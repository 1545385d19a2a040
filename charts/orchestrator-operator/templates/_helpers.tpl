{{/* The operator's objects are called after the release. */}}
{{- define "orchestrator-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "orchestrator-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "orchestrator-operator.labels" -}}
{{ include "orchestrator-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What the operator does, verb by verb; nothing more. The tests hold this list. */}}
{{- define "orchestrator-operator.rules" -}}
# The resource: reads it and writes its status, never its spec.
- apiGroups: [taskorchestrator.dev]
  resources: [orchestrators]
  verbs: [get, list, watch]
- apiGroups: [taskorchestrator.dev]
  resources: [orchestrators/status]
  verbs: [patch]
# Secrets are made and read by name. They can be neither listed nor watched nor deleted.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies, ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Where the cluster has them; they are not watched.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, create, patch, delete]
# Pods are looked at, and told which of them should go first.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# Volumes can be grown. They are never deleted by the operator.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/*
Whether something for Prometheus is wanted, of a list of the root and `Auto`, `Enabled` or
`Disabled`. Auto means: where the cluster has Prometheus' operator when the chart is installed.
*/}}
{{- define "orchestrator-operator.wants" -}}
{{- $root := index . 0 -}}
{{- $mode := index . 1 -}}
{{- $knows := $root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- or (eq $mode "Enabled") (and (eq $mode "Auto") $knows) -}}
{{- end -}}

{{/* What the pods of the operator and of `helm test` have in common. */}}
{{- define "orchestrator-operator.image" -}}
image: {{ .Values.image | default (printf "orchestrator/operator:%s" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
{{- end -}}

{{- define "orchestrator-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "orchestrator-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "orchestrator-operator.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
