{{/* (dict "ctx" . "process" "api"): the settings that this process reads, as the data of a ConfigMap. */}}
{{- define "klar.configData" -}}
{{- $process := .process -}}
{{- $spec := (.ctx.Files.Get "settings.generated.json" | fromJson).config -}}
{{- range $name, $value := include "klar.config" .ctx | fromJson -}}
{{- if has $process (get $spec $name | default (dict "processes" list)).processes }}
{{ $name }}: {{ include "klar.settingText" $value | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* As the process reads it: lists with commas, objects as JSON, and no 1e+07 for a number that YAML made a float. */}}
{{- define "klar.settingText" -}}
{{- if kindIs "slice" . -}}
{{- if and . (kindIs "map" (first .)) }}{{ toJson . }}{{ else }}{{ join "," . }}{{ end -}}
{{- else if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* `config` with what the rest of the values decides. What is set there wins. */}}
{{- define "klar.config" -}}
{{- $config := dict "SHUTDOWN_DELAY_MS" 5000 -}}
{{- with include "klar.publicBaseUrl" . -}}
{{- $_ := set $config "PUBLIC_BASE_URL" . -}}
{{- end -}}
{{- if eq .Values.mode "demo" -}}
{{- $_ := set $config "BACKUP_URL" "file:///var/lib/klar/backups" -}}
{{- $_ := set $config "SMTP_FROM" "Klar <no-reply@klar.example>" -}}
{{- $_ := set $config "TRUSTED_PROXIES" (list "10.0.0.0/8" "100.64.0.0/10" "172.16.0.0/12" "192.168.0.0/16") -}}
{{- end -}}
{{- if .Values.sandbox.enabled -}}
{{- $_ := set $config "STRIPE_API_BASE" (printf "http://%s-sandbox:3900" (include "klar.fullname" .)) -}}
{{- end -}}
{{- if and .Values.pgbouncer.enabled (not .Values.pgbouncer.preparedStatements) -}}
{{- $_ := set $config "DB_PREPARED" "off" -}}
{{- end -}}
{{- range $name, $value := .Values.config -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $config $name $value -}}
{{- end -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* The first host of the ingress or the gateway, unless config.PUBLIC_BASE_URL says more. */}}
{{- define "klar.publicBaseUrl" -}}
{{- if .Values.config.PUBLIC_BASE_URL -}}
{{- .Values.config.PUBLIC_BASE_URL -}}
{{- else if and .Values.ingress.enabled .Values.ingress.hosts -}}
{{- printf "%s://%s" (ternary "http" "https" (and (eq .Values.mode "demo") (empty .Values.ingress.tls))) (first .Values.ingress.hosts) -}}
{{- else if and .Values.gateway.enabled .Values.gateway.hostnames -}}
{{- printf "%s://%s" (ternary "http" "https" (eq .Values.mode "demo")) (first .Values.gateway.hostnames) -}}
{{- end -}}
{{- end -}}
