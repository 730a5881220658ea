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

{{/*
Under whose name a task runs: (dict "ctx" . "task" "backup" "store" "write"). Those that work with the store each have an
identity of their own, as who writes backups must not be able to remove them.
*/}}
{{- define "klar.taskServiceAccount" -}}
{{ include "klar.fullname" .ctx }}-{{ ternary .task "task" (not (empty .store)) }}
{{- end -}}

{{/* Label of the pods that mount the volume of a file:// BACKUP_URL. */}}
{{- define "klar.backupVolumeLabel" -}}
klar.dev/backup-volume: mounted
{{- end -}}

{{/*
Where a task's pod goes: (dict "ctx" . "values" <those of the task> "mounts" <whether it mounts the backup volume>).
A volume that is mounted on one node only would keep a pod waiting on any other, e.g. a backup by hand beside a toolbox. So
it goes where such a pod is; where there is none it goes anywhere, as a pod that matches its own term waits for no other.
*/}}
{{- define "klar.taskScheduling" -}}
{{- $affinity := deepCopy (.values.affinity | default dict) -}}
{{- $volume := .ctx.Values.cronjobs.backupVolume -}}
{{- if and .mounts (not $volume.existingClaim) (eq $volume.accessMode "ReadWriteOnce") -}}
{{- $labels := merge (include "klar.selectorLabels" (dict "ctx" .ctx "component" "task") | fromYaml) (include "klar.backupVolumeLabel" . | fromYaml) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) -}}
{{- $pods := get $affinity "podAffinity" | default dict -}}
{{- $required := append (get $pods "requiredDuringSchedulingIgnoredDuringExecution" | default list) $term -}}
{{- $_ := set $pods "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- end -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "klar.backupClaim" -}}
{{- .Values.cronjobs.backupVolume.existingClaim | default (printf "%s-backups" (include "klar.fullname" .)) -}}
{{- end -}}
