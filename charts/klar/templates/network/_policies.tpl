{{/*
A NetworkPolicy of one component: (dict "ctx" . "component" "api" "in" (list rules) "out" (list rules)).
Both directions are always listed, so each of these denies by itself what it does not name.
*/}}
{{- define "klar.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "klar.fullname" .ctx }}-{{ .component }}
  labels:
    {{- include "klar.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "klar.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with compact .in }}
  ingress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with compact .out }}
  egress:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* (dict "ctx" . "components" (list "api")): peers of this release. */}}
{{- define "klar.peers" -}}
{{- $peers := list -}}
{{- range .components -}}
{{- $peers = append $peers (dict "podSelector" (dict "matchLabels" (include "klar.selectorLabels" (dict "ctx" $.ctx "component" .) | fromYaml))) -}}
{{- end -}}
{{- toJson $peers -}}
{{- end -}}

{{/* Rules by name, as a JSON object: what a component may reach, and who may reach it. Empty ones are left out. */}}
{{- define "klar.networkRules" -}}
{{- $v := .Values.networkPolicies -}}
{{- $rules := dict -}}
{{- $dns := list -}}
{{- range $v.dns.ports -}}
{{- $dns = concat $dns (list (dict "protocol" "UDP" "port" .) (dict "protocol" "TCP" "port" .)) -}}
{{- end -}}
{{- $_ := set $rules "dns" (dict "to" $v.dns.to "ports" $dns) -}}

{{- range $name := list "redis" "providers" "smtp" "otlp" "sentry" "storage" "restoreVerify" "kubernetes" "rotation" -}}
{{- $one := get $v $name -}}
{{- if $one.to -}}
{{- $_ := set $rules $name (dict "to" $one.to "ports" (include "klar.tcp" $one.ports | fromJsonArray)) -}}
{{- end -}}
{{- end -}}

{{- /* PostgreSQL: the chart's own, CloudNativePG's, or what the values name. */ -}}
{{- $to := $v.database.to -}}
{{- $ports := $v.database.ports -}}
{{- if .Values.postgresql.enabled -}}
{{- $to = include "klar.peers" (dict "ctx" . "components" (list "postgresql")) | fromJsonArray -}}
{{- $ports = list 5432 -}}
{{- else if .Values.cnpg.enabled -}}
{{- $to = list (dict "podSelector" (dict "matchLabels" (dict "cnpg.io/cluster" (include "klar.cnpgName" .)))) -}}
{{- $ports = list 5432 -}}
{{- end -}}
{{- if $to -}}
{{- $_ := set $rules "server" (dict "to" $to "ports" (include "klar.tcp" $ports | fromJsonArray)) -}}
{{- $_ := set $rules "database" (get $rules "server") -}}
{{- end -}}
{{- if .Values.pgbouncer.enabled -}}
{{- $_ := set $rules "database" (dict "to" (include "klar.peers" (dict "ctx" . "components" (list "pgbouncer")) | fromJsonArray) "ports" (include "klar.tcp" (list 6432) | fromJsonArray)) -}}
{{- end -}}

{{- if .Values.sandbox.enabled -}}
{{- $_ := set $rules "sandbox" (dict "to" (include "klar.peers" (dict "ctx" . "components" (list "sandbox")) | fromJsonArray) "ports" (include "klar.tcp" (list 3900 3925) | fromJsonArray)) -}}
{{- end -}}

{{- if $v.prometheus -}}
{{- $_ := set $rules "fromPrometheus" (dict "from" $v.prometheus "ports" (include "klar.tcp" (list 9090) | fromJsonArray)) -}}
{{- end -}}
{{- if .Values.controller.enabled -}}
{{- $_ := set $rules "fromController" (dict "from" (include "klar.peers" (dict "ctx" . "components" (list "controller")) | fromJsonArray) "ports" (include "klar.tcp" (list 9090) | fromJsonArray)) -}}
{{- $_ := set $rules "pods" (dict "to" (include "klar.peers" (dict "ctx" . "components" (list "api" "webhook-ingest" "worker")) | fromJsonArray) "ports" (include "klar.tcp" (list 9090) | fromJsonArray)) -}}
{{- if include "klar.rotates" . -}}
{{- /* A rotation uses the new value before it counts, and the old one to see that it is dead, as clients do. */ -}}
{{- $from := include "klar.peers" (dict "ctx" . "components" (list "controller")) | fromJsonArray -}}
{{- $_ := set $rules "apiFromRotation" (dict "from" $from "ports" (include "klar.tcp" (list 3000) | fromJsonArray)) -}}
{{- $_ := set $rules "ingestFromRotation" (dict "from" $from "ports" (include "klar.tcp" (list 3001) | fromJsonArray)) -}}
{{- $_ := set $rules "apiToRotate" (dict "to" (include "klar.peers" (dict "ctx" . "components" (list "api")) | fromJsonArray) "ports" (include "klar.tcp" (list 3000) | fromJsonArray)) -}}
{{- /* By the address that the URL names: a new login is tried where the processes will use it, Stripe's stand-in where they do. */ -}}
{{- if .Values.pgbouncer.enabled -}}
{{- $_ := set $rules "poolToRotate" (get $rules "database") -}}
{{- end -}}
{{- if .Values.sandbox.enabled -}}
{{- $_ := set $rules "sandboxToRotate" (dict "to" (include "klar.peers" (dict "ctx" . "components" (list "sandbox")) | fromJsonArray) "ports" (include "klar.tcp" (list 3900) | fromJsonArray)) -}}
{{- end -}}
{{- $_ := set $rules "ingestToRotate" (dict "to" (include "klar.peers" (dict "ctx" . "components" (list "webhook-ingest")) | fromJsonArray) "ports" (include "klar.tcp" (list 3001) | fromJsonArray)) -}}
{{- end -}}
{{- end -}}
{{- /* Also without an ingress or a gateway of ours: then the routes are made by others. */ -}}
{{- $public := concat $v.ingressController (include "klar.peers" (dict "ctx" . "components" (list "test")) | fromJsonArray) -}}
{{- $_ := set $rules "apiFromPublic" (dict "from" $public "ports" (include "klar.tcp" (list 3000) | fromJsonArray)) -}}
{{- if .Values.sandbox.enabled -}}
{{- $public = concat $public (include "klar.peers" (dict "ctx" . "components" (list "sandbox")) | fromJsonArray) -}}
{{- end -}}
{{- $_ := set $rules "ingestFromPublic" (dict "from" $public "ports" (include "klar.tcp" (list 3001) | fromJsonArray)) -}}
{{- toJson $rules -}}
{{- end -}}

{{- define "klar.tcp" -}}
{{- $ports := list -}}
{{- range . -}}
{{- $ports = append $ports (dict "protocol" "TCP" "port" .) -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}
