{{/* Whether the controller rotates secrets: "true" or nothing. */}}
{{- define "klar.rotates" -}}
{{- if and .Values.controller.enabled .Values.controller.rotation.enabled }}true{{ end -}}
{{- end -}}

{{/*
The policy document: one row for each secret setting that there may be, as one without a row refuses the whole document.
Rows of controller.rotation.policies replace those.
*/}}
{{- define "klar.rotationPolicies" -}}
{{- $v := .Values.controller.rotation -}}
{{- $kinds := dict "ADMIN_TOKEN" "admin-token" "AUTH_JWT_KEY" "jwt-key" "API_SECRET_SALT" "api-key-pepper" "STRIPE_WEBHOOK_SECRET" "stripe-webhook" "LIVEKIT_API_SECRET" "livekit-key" -}}
{{- $own := dict -}}
{{- range $v.policies -}}
{{- $_ := set $own .secret . -}}
{{- end -}}
{{- $rows := list -}}
{{- range $name := append (keys (.Files.Get "settings.generated.json" | fromJson).secrets) "DATABASE_URL" | uniq | sortAlpha -}}
{{- if hasKey $own $name -}}
{{- $rows = append $rows (get $own $name) -}}
{{- else -}}
{{- $login := and (hasPrefix "DATABASE_URL_" $name) (not (has $name (list "DATABASE_URL_MIGRATOR" "DATABASE_URL_SUPERUSER"))) -}}
{{- $kind := get $kinds $name | default (ternary "postgres-login" "manual" $login) -}}
{{- /* A pooler with a list of users does not know the other login. */ -}}
{{- $scheduled := and $v.schedule (not (and $login $.Values.pgbouncer.enabled)) -}}
{{- $rows = append $rows (dict "secret" $name "kind" $kind "period" $v.period "soak" $v.soak "jitter" $v.jitter "blackout" $v.blackout "enabled" $scheduled) -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "version" 1 "policies" $rows) -}}
{{- end -}}

{{/* What the controller's container is told. */}}
{{- define "klar.rotationEnv" -}}
{{- if include "klar.rotates" . -}}
- name: KLAR_SECRET_NAME
  value: {{ include "klar.secretName" . }}
- name: KLAR_ROTATION_FILE
  value: /etc/klar/rotation/rotation.yaml
- name: KLAR_ROTATION_API_URL
  value: http://{{ include "klar.fullname" . }}-api:3000
- name: KLAR_ROTATION_INGEST_URL
  value: http://{{ include "klar.fullname" . }}-webhook-ingest:3001
{{- end -}}
{{- end -}}
