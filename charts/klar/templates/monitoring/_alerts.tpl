{{/*
The rules of alerts/*.yaml as a YAML list. A file is one alert, named after it; its runbook has the same name.
`$namespace`, `$fullname` and `$job` stand for this release, `$backupClaim` for the claim behind a file:// BACKUP_URL, `$cronjobs`
for the names of the CronJobs of its tasks, as alternatives of an expression. With `task: <name>` the alert exists where that task does, with
`forEach: task` once for every task (but `except`), and then `$task`, `$period` (seconds), `$every`, `$deadline` (seconds)
and `$grace` (1.25 periods, as a duration) are the task's.
*/}}
{{- define "klar.alertRules" -}}
{{- $tasks := include "klar.tasks" . | fromJson -}}
{{- range $path, $bytes := .Files.Glob "alerts/*.yaml" -}}
{{- $alert := base $path | trimSuffix ".yaml" -}}
{{- $absent := and (not $.Values.controller.enabled) (regexMatch "^Klar(Controller|Flag|Rotation)" $alert) -}}
{{- if not (or $absent (has $alert $.Values.monitoring.rules.disabled)) -}}
{{- $text := toString $bytes -}}
{{- $file := fromYaml $text -}}
{{- if eq (get $file "forEach" | default "") "task" -}}
{{- range $name, $task := $tasks -}}
{{- if not (has $name (get $file "except" | default list)) -}}
{{- include "klar.alertRule" (dict "ctx" $ "alert" $alert "text" $text "name" $name "task" $task) -}}
{{- end -}}
{{- end -}}
{{- else if not (hasKey $file "task") -}}
{{- include "klar.alertRule" (dict "ctx" $ "alert" $alert "text" $text) -}}
{{- else if hasKey $tasks $file.task -}}
{{- include "klar.alertRule" (dict "ctx" $ "alert" $alert "text" $text "name" $file.task "task" (get $tasks $file.task)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* One rule, as an item of a YAML list. */}}
{{- define "klar.alertRule" -}}
{{- $ctx := .ctx -}}
{{- $cronjobs := list -}}
{{- range $name, $_ := include "klar.tasks" $ctx | fromJson -}}
{{- $cronjobs = append $cronjobs (include "klar.cronJobName" (dict "ctx" $ctx "task" $name)) -}}
{{- end -}}
{{- $text := .text | replace "$cronjobs" (join "|" $cronjobs) | replace "$backupClaim" (include "klar.backupClaim" $ctx) | replace "$namespace" .ctx.Release.Namespace | replace "$fullname" (include "klar.fullname" .ctx) | replace "$job" .ctx.Release.Name -}}
{{- if .task -}}
{{- $every := int64 .task.everySeconds -}}
{{- $text = $text | replace "$task" .name | replace "$period" (toString $every) | replace "$every" .task.every | replace "$deadline" (toString (int64 .task.activeDeadlineSeconds)) | replace "$grace" (printf "%ds" (div (mul $every 5) 4)) -}}
{{- end -}}
{{- $rule := omit (fromYaml $text) "forEach" "except" "task" -}}
{{- $labels := mergeOverwrite (dict "namespace" .ctx.Release.Namespace) (deepCopy .ctx.Values.monitoring.rules.labels) $rule.labels -}}
{{- if .task -}}
{{- $_ := set $labels "task" .name -}}
{{- end -}}
{{- with get .ctx.Values.monitoring.rules.severity .alert -}}
{{- $_ := set $labels "severity" . -}}
{{- end -}}
{{- $_ := set $rule "labels" $labels -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s/%s.md" (trimSuffix "/" .ctx.Values.monitoring.rules.runbookBaseUrl) .alert) }}
- {{ toJson $rule }}
{{- end -}}
