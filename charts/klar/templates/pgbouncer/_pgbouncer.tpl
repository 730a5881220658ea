{{/* The server itself, past the pools. */}}
{{- define "klar.serverHost" -}}
{{- if .Values.postgresql.enabled -}}
{{ include "klar.fullname" . }}-postgresql
{{- else if .Values.cnpg.enabled -}}
{{ include "klar.cnpgName" . }}-rw
{{- else -}}
{{ .Values.pgbouncer.host }}
{{- end -}}
{{- end -}}

{{- define "klar.pgbouncerIni" -}}
[databases]
* = host={{ include "klar.serverHost" . }} port={{ ternary 5432 (int .Values.pgbouncer.port) (or .Values.postgresql.enabled .Values.cnpg.enabled) }}

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = transaction
default_pool_size = {{ .Values.pgbouncer.defaultPoolSize }}
max_client_conn = {{ .Values.pgbouncer.maxClientConnections }}
max_db_connections = {{ .Values.pgbouncer.maxDatabaseConnections }}
{{- if .Values.pgbouncer.preparedStatements }}
; Since 1.21: prepared statements of clients that share a server connection.
max_prepared_statements = 200
{{- end }}
ignore_startup_parameters = extra_float_digits
; Shorter than the 7.5 s after which the api takes a connection for dead: a full pool is refused, not mistaken for an outage.
query_wait_timeout = 5
server_connect_timeout = 5
server_login_retry = 1
{{- end -}}
