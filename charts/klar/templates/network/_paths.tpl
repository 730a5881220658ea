{{/* What providers post to; webhook-ingest answers there, and nowhere else. */}}
{{- define "klar.webhookPaths" -}}
{{- toJson (list "/api/billing/stripe/webhook" "/api/webhooks") -}}
{{- end -}}
