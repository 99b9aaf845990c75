{{- /* What the operator may do: RULES of interplay_operator.rbac, which says why; a test compares. */ -}}

{{- /* LIBRARY_RULES there: in its own namespace, even where it serves others only. */ -}}
{{- define "interplay.rules.library" -}}
- apiGroups: [interplay.dev]
  resources: [models, datasets, measurements, measurementgroups, modes]
  verbs: [get, list, watch]
{{- end -}}

{{- define "interplay.rules" -}}
{{ include "interplay.rules.library" . }}
- apiGroups: [interplay.dev]
  resources: [evaluations]
  verbs: [get, list, watch, delete]
- apiGroups: [interplay.dev]
  resources: [modelruns]
  verbs: [get, list, watch, create, delete]
- apiGroups: [interplay.dev]
  resources: [evaluations/status, modelruns/status]
  verbs: [update]
- apiGroups: [interplay.dev]
  resources: [evaluations/finalizers, modelruns/finalizers]
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [get, list, create]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
{{- end -}}
