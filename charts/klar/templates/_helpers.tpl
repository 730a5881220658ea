{{/* Names, labels and the parts that every pod has. A component is api, webhook-ingest, worker, controller, postgresql, sandbox, pgbouncer, migrate, task or test. */}}

{{- define "klar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* (dict "ctx" . "component" "api"): what never changes of a component, for selectors. */}}
{{- define "klar.selectorLabels" -}}
app.kubernetes.io/name: klar
app.kubernetes.io/instance: {{ .ctx.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/* (dict "ctx" . "component" "api") */}}
{{- define "klar.labels" -}}
{{ include "klar.selectorLabels" . }}
app.kubernetes.io/version: {{ .ctx.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: klar
app.kubernetes.io/managed-by: {{ .ctx.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .ctx.Chart.Name .ctx.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* One image for every process; a digest wins over the tag. */}}
{{- define "klar.image" -}}
{{- $image := .Values.image -}}
{{- if not $image.repository -}}
{{- fail "\n\nimage.repository is not set.\n  -> name the image that you built or mirrored: --set image.repository=registry.example.com/klar" -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* imagePullSecrets of a pod; nothing where there are none. */}}
{{- define "klar.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "klar.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "klar.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Profile of the processes, by `mode`. */}}
{{- define "klar.billingMode" -}}
{{- ternary "production" "test" (eq .Values.mode "production") -}}
{{- end -}}

{{/* (dict "ctx" . "process" "api"): what the chart itself decides about a process, as `env` entries. */}}
{{- define "klar.commonEnv" -}}
- name: KLAR_PROFILE
  value: {{ .ctx.Values.mode }}
- name: NODE_ENV
  value: production
- name: BILLING_MODE
  value: {{ include "klar.billingMode" .ctx }}
- name: KLAR_SECRETS_DIR
  value: /etc/klar/secrets
{{- with .ctx.Values.image.digest }}
- name: KLAR_IMAGE_DIGEST
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* (dict "ctx" . "process" "api"): the settings of a process, by its ConfigMap, as `envFrom` entries. */}}
{{- define "klar.envFrom" -}}
- configMapRef:
    name: {{ include "klar.fullname" .ctx }}-{{ .process }}
{{- end -}}

{{/* (dict "ctx" . "process" "api"): annotation that rolls the pods when their settings change. */}}
{{- define "klar.configChecksum" -}}
klar.dev/config-checksum: {{ include "klar.configData" . | sha256sum | trunc 16 }}
{{- end -}}
