{{- /* Names, labels, image references and rules that several templates share. */ -}}

{{- define "interplay.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* At most 40 characters, so that every suffix below still gives a legal name. */ -}}
{{- define "interplay.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "interplay.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "interplay.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "interplay.selectorLabels" -}}
app.kubernetes.io/name: {{ include "interplay.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "interplay.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "interplay.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: interplay
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "interplay.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "interplay.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- /* Never the namespace's default account, which other pods use. */ -}}
{{- required "serviceAccount.name is required when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* Takes a dict of image (a map of values) and root; a digest wins over a tag. */ -}}
{{- define "interplay.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{- /* JSON list of the namespaces that hold runner pods. */ -}}
{{- define "interplay.runnerNamespaces" -}}
{{- $namespaces := coalesce .Values.networkPolicy.runners.namespaces .Values.watchNamespaces (list .Release.Namespace) -}}
{{- $namespaces | uniq | sortAlpha | toJson -}}
{{- end -}}

{{- /* True where the operator's own namespace, which holds the admin's library, is not a served one. */ -}}
{{- define "interplay.libraryApart" -}}
{{- if and .Values.rbac.create .Values.watchNamespaces (not (has .Release.Namespace .Values.watchNamespaces)) -}}
true
{{- end -}}
{{- end -}}
