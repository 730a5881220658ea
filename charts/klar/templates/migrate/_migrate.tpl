{{/* hook, job or external. */}}
{{- define "klar.migrationsMode" -}}
{{- if .Values.migrations.mode -}}
{{- .Values.migrations.mode -}}
{{- else if or .Values.postgresql.enabled .Values.cnpg.enabled .Values.secrets.externalSecret.enabled -}}
job
{{- else -}}
hook
{{- end -}}
{{- end -}}

{{/* Where the superuser's login is, as YAML: of the values, of the chart's PostgreSQL, or of CloudNativePG; else nothing. */}}
{{- define "klar.superuser" -}}
{{- if .Values.migrations.superuserSecret.name -}}
secretName: {{ .Values.migrations.superuserSecret.name }}
key: {{ .Values.migrations.superuserSecret.key }}
{{- else if .Values.postgresql.enabled -}}
secretName: {{ include "klar.fullname" . }}-postgresql
key: DATABASE_URL_SUPERUSER
{{- else if .Values.cnpg.enabled -}}
secretName: {{ include "klar.cnpgName" . }}-superuser
passwordKey: password
{{- end -}}
{{- end -}}

{{/* Where the superuser's login is only a password. */}}
{{- define "klar.superuserEnv" -}}
{{- $superuser := include "klar.superuser" . | fromYaml -}}
{{- if $superuser.passwordKey -}}
- name: SUPERUSER_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ $superuser.secretName }}
      key: {{ $superuser.passwordKey }}
- name: DATABASE_URL_SUPERUSER
  value: postgres://postgres:$(SUPERUSER_PASSWORD)@{{ include "klar.cnpgName" . }}-rw:5432/klar
{{- end -}}
{{- end -}}

{{/* The spec of the Job: roles where a superuser is given, then the schema and who owns what in it. Two at once wait for each other in the database. */}}
{{- define "klar.migrateSpec" -}}
{{- $superuser := include "klar.superuser" . | fromYaml -}}
{{- $image := include "klar.image" . -}}
backoffLimit: 6
activeDeadlineSeconds: {{ .Values.migrations.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ .Values.migrations.ttlSecondsAfterFinished }}
{{- if eq (include "klar.migrationsMode" .) "hook" }}
podFailurePolicy:
  rules:
    # A drain or a preemption is nobody's fault and costs no try.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: 'True'
    # Wrong call (64), no database for minutes (69), wrong settings (78): the next try would end the same, and helm would
    # wait for all of them. A plain Job may begin before its Secret is there, and tries again.
    - action: FailJob
      onExitCodes:
        operator: In
        values: [64, 69, 78]
{{- end }}
template:
  metadata:
    labels:
      {{- include "klar.labels" (dict "ctx" . "component" "migrate") | nindent 6 }}
  spec:
    {{- include "klar.imagePullSecrets" . | indent 4 }}
    restartPolicy: Never
    serviceAccountName: {{ include "klar.fullname" . }}-migrate
    automountServiceAccountToken: false
    enableServiceLinks: false
    securityContext:
      {{- include "klar.podSecurityContext" . | nindent 6 }}
    initContainers:
      # A server that comes together with this Job, or is about to change its place, is waited for; a Job that fails meanwhile
      # would wait longer and longer between its tries. One that is out of reach is told here, and at once.
      - name: wait-for-database
        image: {{ $image }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args:
          - --input-type=module
          - --eval
          - |
            {{- .Files.Get "files/wait-for-database.js" | nindent 12 }}
          - {{ include "klar.migrationsMode" . }}
          - '{{ .Values.migrations.activeDeadlineSeconds }}'
        env:
          {{- include "klar.commonEnv" (dict "ctx" . "process" "cli") | nindent 10 }}
        resources:
          {{- toYaml .Values.migrations.resources | nindent 10 }}
        securityContext:
          {{- include "klar.containerSecurityContext" . | nindent 10 }}
        volumeMounts:
          - name: migrator
            mountPath: /etc/klar/secrets
            readOnly: true
      {{- if $superuser }}
      - name: roles
        image: {{ $image }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args: [services/cli/main.ts, roles, ensure, --create-database]
        env:
          {{- include "klar.commonEnv" (dict "ctx" . "process" "cli") | nindent 10 }}
          {{- with include "klar.superuserEnv" . }}
          {{- . | nindent 10 }}
          {{- end }}
        resources:
          {{- toYaml .Values.migrations.resources | nindent 10 }}
        securityContext:
          {{- include "klar.containerSecurityContext" . | nindent 10 }}
        volumeMounts:
          - name: role-secrets
            mountPath: /etc/klar/secrets
            readOnly: true
      {{- end }}
    containers:
      - name: migrate
        image: {{ $image }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args: [services/cli/main.ts, migrate]
        env:
          {{- include "klar.commonEnv" (dict "ctx" . "process" "cli") | nindent 10 }}
          {{- with include "klar.superuserEnv" . }}
          {{- . | nindent 10 }}
          {{- end }}
        resources:
          {{- toYaml .Values.migrations.resources | nindent 10 }}
        securityContext:
          {{- include "klar.containerSecurityContext" . | nindent 10 }}
        volumeMounts:
          {{- include "klar.secretsMount" . | nindent 10 }}
    volumes:
      {{- include "klar.secretsVolume" (dict "ctx" . "process" "cli" "names" (list "DATABASE_URL_MIGRATOR" "DATABASE_DIRECT_URL") "volume" "migrator") | nindent 6 }}
      # The same with the superuser, for what roles can only be given once the schema is there.
      {{- include "klar.secretsVolume" (dict "ctx" . "process" "cli" "names" (list "DATABASE_URL_MIGRATOR" "DATABASE_DIRECT_URL") "superuser" $superuser) | nindent 6 }}
      {{- if $superuser }}
      # The passwords that the roles are given are those by which the processes log in.
      {{- $names := include "klar.databaseUrlNames" . | fromJsonArray }}
      {{- include "klar.secretsVolume" (dict "ctx" . "process" "cli" "names" $names "volume" "role-secrets" "superuser" $superuser) | nindent 6 }}
      {{- end }}
{{- end -}}

{{/* What the hook Job needs comes before it, and goes when it is through. */}}
{{- define "klar.migrateHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: '-10'
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
