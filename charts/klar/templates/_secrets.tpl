{{/* The Secret that holds a key for each secret setting. */}}
{{- define "klar.secretName" -}}
{{- if .Values.secrets.existingSecret -}}
{{- .Values.secrets.existingSecret -}}
{{- else if .Values.secrets.externalSecret.enabled -}}
{{- include "klar.fullname" . }}-secrets
{{- else -}}
{{- include "klar.fullname" . }}-generated
{{- end -}}
{{- end -}}

{{/* The Secret of what is never rotated, which the controller may not read by the Kubernetes API. The same one where none is named. */}}
{{- define "klar.fixedSecretName" -}}
{{- $main := include "klar.secretName" . -}}
{{- if .Values.secrets.fixedSecret -}}
{{- .Values.secrets.fixedSecret -}}
{{- else if eq $main (printf "%s-generated" (include "klar.fullname" .)) -}}
{{- $main }}-fixed
{{- else -}}
{{- $main -}}
{{- end -}}
{{- end -}}

{{/* (dict "name" "ADMIN_TOKEN"): "true" for what a rotation may change; a test compares with the policies of _rotation.tpl. */}}
{{- define "klar.rotatable" -}}
{{- if or (has .name (list "ADMIN_TOKEN" "AUTH_JWT_KEY" "API_SECRET_SALT" "STRIPE_WEBHOOK_SECRET" "LIVEKIT_API_SECRET")) (and (hasPrefix "DATABASE_URL_" .name) (not (has .name (list "DATABASE_URL_MIGRATOR" "DATABASE_URL_SUPERUSER")))) }}true{{ end -}}
{{- end -}}

{{/*
The volume /etc/klar/secrets: <NAME>/current and, while a rotation runs, <NAME>/previous.
(dict "ctx" . "process" "api"): every secret that the process may hold.
(dict "ctx" . "process" "cli" "names" (list "DATABASE_URL_OPS") "keys" (dict "<NAME>" "<other key in the Secret>")): these alone.
Every key is optional to the kubelet: with one missing, the process says all that is missing and ends with 78, where the
kubelet would name one and wait for ever.
*/}}
{{- define "klar.secretsVolume" -}}
{{- $ctx := .ctx -}}
{{- $keys := .keys | default dict -}}
{{- $names := .names | default (include "klar.secretNames" . | fromJsonArray) -}}
{{- $items := list -}}
{{- $fixed := list -}}
{{- $sources := list -}}
{{- range $name := $names -}}
{{- $override := get $ctx.Values.secrets.overrides $name -}}
{{- if and (eq $name "RESTORE_VERIFY_DATABASE_URL") $ctx.Values.postgresql.enabled (not $override) (not (hasKey $ctx.Values.secrets.inline $name)) -}}
{{- $override = dict "secretName" (printf "%s-postgresql" (include "klar.fullname" $ctx)) "key" $name -}}
{{- end -}}
{{- if and $override (not (hasKey $keys $name)) -}}
{{- $own := list (dict "key" $override.key "path" (printf "%s/current" $name)) -}}
{{- with $override.previousKey -}}
{{- $own = append $own (dict "key" . "path" (printf "%s/previous" $name)) -}}
{{- end -}}
{{- $sources = append $sources (dict "secret" (dict "name" $override.secretName "optional" true "items" $own)) -}}
{{- else -}}
{{- $key := get $keys $name | default $name -}}
{{- $four := (list (dict "key" $key "path" (printf "%s/current" $name)) (dict "key" (printf "%s.previous" $key) "path" (printf "%s/previous" $name)) (dict "key" (printf "%s.generation" $key) "path" (printf "%s/generation" $name)) (dict "key" (printf "%s.previous_generation" $key) "path" (printf "%s/previous_generation" $name))) -}}
{{- if include "klar.rotatable" (dict "name" $key) -}}
{{- $items = concat $items $four -}}
{{- else -}}
{{- $fixed = concat $fixed $four -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (include "klar.fixedSecretName" $ctx) (include "klar.secretName" $ctx) -}}
{{- $items = concat $items $fixed -}}
{{- $fixed = list -}}
{{- end -}}
{{- if $fixed -}}
{{- $sources = prepend $sources (dict "secret" (dict "name" (include "klar.fixedSecretName" $ctx) "optional" true "items" $fixed)) -}}
{{- end -}}
{{- if $items -}}
{{- $sources = prepend $sources (dict "secret" (dict "name" (include "klar.secretName" $ctx) "optional" true "items" $items)) -}}
{{- end -}}
{{- with .superuser -}}
{{- if .key -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secretName "optional" true "items" (list (dict "key" .key "path" "DATABASE_URL_SUPERUSER/current")))) -}}
{{- end -}}
{{- end -}}
- name: {{ .volume | default "secrets" }}
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml $sources | nindent 6 }}
{{- end -}}

{{/* The names of the secrets that a process may hold. */}}
{{- define "klar.secretNames" -}}
{{- $process := .process -}}
{{- $names := list -}}
{{- range $name, $secret := (.ctx.Files.Get "settings.generated.json" | fromJson).secrets -}}
{{- if has $process $secret.processes -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{- define "klar.secretsMount" -}}
- name: secrets
  mountPath: /etc/klar/secrets
  readOnly: true
{{- end -}}

{{/* DATABASE_URL_<ROLE> of every role. */}}
{{- define "klar.databaseUrlNames" -}}
{{- $names := list -}}
{{- range $name, $_ := (.Files.Get "settings.generated.json" | fromJson).secrets -}}
{{- if and (hasPrefix "DATABASE_URL_" $name) (ne $name "DATABASE_URL_SUPERUSER") -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}
