{{/* "90m", "24h", "7d" in seconds. */}}
{{- define "klar.seconds" -}}
{{- $unit := dict "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- mul (regexFind "^[0-9]+" .) (get $unit (regexFind "[smhd]$" .)) -}}
{{- end -}}

{{/*
The tasks that run here, by name, as JSON: the facts of tasks.yaml, with the values of cronjobs.<task> over those of
cronjobs.defaults. A task whose command this version of `klar` does not have is not among them, whatever the values say.
*/}}
{{- define "klar.tasks" -}}
{{- $commands := .Files.Get "commands.generated.json" | fromJsonArray -}}
{{- $tasks := dict -}}
{{- range $name, $fact := .Files.Get "tasks.yaml" | fromYaml -}}
{{- $task := mergeOverwrite (deepCopy $.Values.cronjobs.defaults) (get $.Values.cronjobs $name | default dict | deepCopy) $fact -}}
{{- if and $task.enabled (has (join " " $fact.command) $commands) -}}
{{- if and (eq $name "restore-verify") (eq $.Values.mode "demo") $.Values.postgresql.enabled -}}
{{- /* A demo has one server, and restore-verify takes the one that it protects only when told so. */ -}}
{{- $_ := set $task "args" (append $task.args "--allow-production-server" | uniq) -}}
{{- end -}}
{{- $_ := set $task "everySeconds" (include "klar.seconds" $task.every | int64) -}}
{{- $_ := set $tasks $name $task -}}
{{- end -}}
{{- end -}}
{{- toJson $tasks -}}
{{- end -}}

{{/* (dict "ctx" . "task" "backup"): a CronJob's name may have 52 characters, as that of a Job gets eleven more. */}}
{{- define "klar.cronJobName" -}}
{{- printf "%s-%s" (include "klar.fullname" .ctx | trunc (int (sub 51 (len .task))) | trimSuffix "-") .task -}}
{{- end -}}

{{/* The folder of a file:// BACKUP_URL; empty for any other store. */}}
{{- define "klar.backupFolder" -}}
{{- $url := (include "klar.config" . | fromJson).BACKUP_URL | default "" -}}
{{- if hasPrefix "file://" $url -}}
{{- trimPrefix "file://" $url | trimSuffix "/" -}}
{{- end -}}
{{- end -}}

{{- define "klar.backupClaim" -}}
{{- .Values.cronjobs.backupVolume.existingClaim | default (printf "%s-backups" (include "klar.fullname" .)) -}}
{{- end -}}
