{{/*
Rules between values that no schema can say. All findings at once, each with its mend; refused at render.
A finding is "<value>|<what is wrong>|<mend>".
*/}}
{{- define "klar.validate" -}}
{{- $v := .Values -}}
{{- $strict := ne $v.mode "demo" -}}
{{- $public := or $v.ingress.enabled $v.gateway.enabled -}}
{{- $config := include "klar.config" . | fromJson -}}
{{- $settings := .Files.Get "settings.generated.json" | fromJson -}}
{{- $found := list -}}

{{- if not $v.image.repository -}}
{{- $found = append $found "image.repository|is not set|name the image that you built or mirrored, e.g. registry.example.com/klar" -}}
{{- end -}}
{{- $tasks := include "klar.tasks" . | fromJson -}}
{{- if and (not $config.BACKUP_URL) (or (hasKey $tasks "backup") (hasKey $tasks "restore-verify") (hasKey $tasks "backup-prune")) -}}
{{- $found = append $found "config.BACKUP_URL|is not set: nothing says where backups go|give s3://bucket/prefix or file:///folder (a volume), or set enabled: false for cronjobs.backup, restore-verify and backup-prune and back up by other means" -}}
{{- end -}}
{{- if and $v.monitoring.enabled $v.monitoring.rules.enabled (not $v.monitoring.rules.runbookBaseUrl) -}}
{{- $found = append $found "monitoring.rules.runbookBaseUrl|is not set: an alert could not say what to do|publish charts/klar/runbooks where people on call read and give the address, or set monitoring.rules.enabled=false" -}}
{{- end -}}

{{- /* What is no production. */ -}}
{{- if $strict -}}
{{- if $v.sandbox.enabled -}}
{{- $found = append $found (printf "sandbox.enabled|the sandbox takes play money, which mode %s refuses|leave it out and give STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET and SMTP_URL of the real providers, or set mode: demo" $v.mode) -}}
{{- end -}}
{{- if $v.postgresql.enabled -}}
{{- $found = append $found (printf "postgresql.enabled|one server without a copy, which mode %s refuses|set cnpg.enabled=true or name your own server in networkPolicies.database and the DATABASE_URL_* secrets, or set mode: demo" $v.mode) -}}
{{- end -}}
{{- range $name, $_ := $v.secrets.inline -}}
{{- $found = append $found (printf "secrets.inline.%s|a secret in the values stays in the release, in files and in shell histories, which mode %s refuses|kubectl create secret generic klar-secrets --from-file=%s=<file> and set secrets.existingSecret=klar-secrets" $name $v.mode $name) -}}
{{- end -}}
{{- if not (or $v.secrets.existingSecret $v.secrets.externalSecret.enabled) -}}
{{- $found = append $found "secrets.existingSecret|is not set, and without secrets the processes end with 78|make a Secret with the keys of SETTINGS.md and name it here, set secrets.externalSecret, or set mode: demo" -}}
{{- end -}}
{{- if $config.KLAR_FAILPOINT -}}
{{- $found = append $found (printf "config.KLAR_FAILPOINT|kills processes on purpose, which mode %s refuses|leave it out" $v.mode) -}}
{{- end -}}
{{- if $config.ALLOW_LOCALHOST_ORIGINS -}}
{{- $found = append $found (printf "config.ALLOW_LOCALHOST_ORIGINS|localhost is refused in mode %s|leave it out" $v.mode) -}}
{{- end -}}
{{- range $name := list "AUTH_ORIGIN_ALLOWLIST" "CORS_ALLOW_ORIGINS" "PUBLIC_ORIGIN_ALLOWLIST" -}}
{{- range get $config $name | default list -}}
{{- if or (eq . "*") (regexMatch "^https?://(localhost|127\\.|\\[::1\\])" .) -}}
{{- $found = append $found (printf "config.%s|%s is refused in mode %s|list the public origins that you trust" $name . $v.mode) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (hasPrefix "https://" ($config.PUBLIC_BASE_URL | default "")) -}}
{{- $found = append $found "config.PUBLIC_BASE_URL|is missing or not https|give the address people reach Klar at, e.g. https://klar.example.com, or enable the ingress with its hosts" -}}
{{- end -}}
{{- if not $config.SMTP_FROM -}}
{{- $found = append $found "config.SMTP_FROM|is missing: nobody would send the mails|set for example config.SMTP_FROM='Klar <no-reply@example.com>'" -}}
{{- end -}}
{{- if and $public (not $config.TRUSTED_PROXIES) -}}
{{- $found = append $found "config.TRUSTED_PROXIES|is missing: behind a proxy every visitor has the proxy's address, and all share one rate limit|list the networks of the ingress controller's pods, e.g. [10.244.0.0/16]" -}}
{{- end -}}
{{- range $config.TRUSTED_PROXIES -}}
{{- if hasSuffix "/0" . -}}
{{- $found = append $found (printf "config.TRUSTED_PROXIES|%s believes the X-Forwarded-For of everybody|list the networks of the proxies alone" .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.mode "production") $config.STRIPE_API_BASE -}}
{{- if not (hasPrefix "https://" $config.STRIPE_API_BASE) -}}
{{- $found = append $found "config.STRIPE_API_BASE|is not Stripe but a stand-in|leave it out" -}}
{{- end -}}
{{- end -}}
{{- if and (not $v.image.digest) (eq $v.image.tag "latest") -}}
{{- $found = append $found "image.tag|latest is another image tomorrow, and a restarted pod would run it|give the tag of a release or image.digest" -}}
{{- end -}}
{{- end -}}

{{- if and $v.secrets.fixedSecret (not $v.secrets.existingSecret) -}}
{{- $found = append $found "secrets.fixedSecret|is the second of two Secrets, and secrets.existingSecret is not set|name the one of what rotates there, or leave it out" -}}
{{- end -}}

{{- /* Secrets where everybody can read them. */ -}}
{{- range $name, $_ := $v.config -}}
{{- if hasKey $settings.secrets $name -}}
{{- $found = append $found (printf "config.%s|is a secret, and config goes into a ConfigMap|put it into the Secret of secrets.existingSecret under the key %s" $name $name) -}}
{{- end -}}
{{- end -}}

{{- /* Combinations that cannot work. */ -}}
{{- if and $v.secrets.existingSecret $v.secrets.externalSecret.enabled -}}
{{- $found = append $found "secrets|existingSecret and externalSecret are both set|keep one of them" -}}
{{- end -}}
{{- if and $v.secrets.inline (or $v.secrets.existingSecret $v.secrets.externalSecret.enabled) -}}
{{- $found = append $found "secrets.inline|is only read where the chart makes the Secret, and here another one is named|put the values into that one" -}}
{{- end -}}
{{- if $v.secrets.externalSecret.enabled -}}
{{- if not (and $v.secrets.externalSecret.storeRef.name $v.secrets.externalSecret.remoteKey) -}}
{{- $found = append $found "secrets.externalSecret|storeRef.name or remoteKey is missing|name the SecretStore and the entry in it" -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- $found = append $found "ingress.hosts|is empty|list the host names, e.g. [klar.example.com]" -}}
{{- end -}}
{{- range $tls := $v.ingress.tls -}}
{{- range $tls.hosts -}}
{{- if not (or (has . $v.ingress.hosts) (eq . $v.sandbox.host)) -}}
{{- $found = append $found (printf "ingress.tls|%s is not one of ingress.hosts|add it there, or take it out here" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.gateway.enabled (not (and $v.gateway.parentRefs $v.gateway.hostnames)) -}}
{{- $found = append $found "gateway|parentRefs or hostnames is empty|name the Gateway and the host names" -}}
{{- end -}}
{{- if and $v.sandbox.enabled $public (not $v.sandbox.host) -}}
{{- $found = append $found "sandbox.host|is empty: nobody could reach the page where people pay|give it a host name of its own, e.g. sandbox.klar.localhost" -}}
{{- end -}}
{{- if and $v.sandbox.host (has $v.sandbox.host (concat $v.ingress.hosts $v.gateway.hostnames)) -}}
{{- $found = append $found "sandbox.host|is a host of Klar itself|give the sandbox a host name of its own" -}}
{{- end -}}
{{- $databases := 0 -}}
{{- range list $v.postgresql.enabled $v.cnpg.enabled -}}{{- if . -}}{{- $databases = add1 $databases -}}{{- end -}}{{- end -}}
{{- if gt (int $databases) 1 -}}
{{- $found = append $found "postgresql, cnpg|both bring a database|enable one of them" -}}
{{- end -}}
{{- if eq $v.migrations.mode "hook" -}}
{{- if or $v.postgresql.enabled $v.cnpg.enabled -}}
{{- $found = append $found "migrations.mode|a hook runs before the database that this chart brings is there, and would wait for it for ever|set job, or leave it empty" -}}
{{- else if $v.secrets.externalSecret.enabled -}}
{{- $found = append $found "migrations.mode|a hook runs before the Secret that the ExternalSecret makes is there|set job, or leave it empty" -}}
{{- else if and (eq (include "klar.secretName" .) (printf "%s-generated" (include "klar.fullname" .))) (not $v.secrets.overrides.DATABASE_URL_MIGRATOR) -}}
{{- $found = append $found "migrations.mode|a hook runs before the Secret that this chart makes is there|set job" -}}
{{- end -}}
{{- end -}}
{{- if and (eq $v.mode "demo") (eq (include "klar.secretName" .) (printf "%s-generated" (include "klar.fullname" .))) (not $v.postgresql.enabled) -}}
{{- range $name := concat (list "DATABASE_URL_API" "DATABASE_URL_AUTH" "DATABASE_URL_INGEST" "DATABASE_URL_WORKER") (ternary (list "DATABASE_URL_CONTROLLER") list $v.controller.enabled) -}}
{{- if not (or (hasKey $v.secrets.inline $name) (hasKey $v.secrets.overrides $name)) -}}
{{- $found = append $found (printf "secrets.inline.%s|is missing, and the chart brings no database whose login it could make|set postgresql.enabled=true, or give it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $v.pgbouncer.enabled -}}
{{- if not $v.pgbouncer.image -}}
{{- $found = append $found "pgbouncer.image|is not set|name an image with pgbouncer on its PATH" -}}
{{- end -}}
{{- if and (not $v.pgbouncer.host) (not (or $v.postgresql.enabled $v.cnpg.enabled)) -}}
{{- $found = append $found "pgbouncer.host|is not set, and the chart brings no server|name the server behind it" -}}
{{- end -}}
{{- if and (not $v.pgbouncer.userlistSecret.name) (not $v.postgresql.enabled) -}}
{{- $found = append $found "pgbouncer.userlistSecret.name|is not set|name a Secret with a userlist.txt of the klar_api, klar_auth, klar_ingest and klar_worker logins" -}}
{{- end -}}
{{- if and (not $v.pgbouncer.preparedStatements) (eq ($v.config.DB_PREPARED | default "off") "on") -}}
{{- $found = append $found "config.DB_PREPARED|is on, while pgbouncer.preparedStatements=false says that PgBouncer cannot do them|leave config.DB_PREPARED out" -}}
{{- end -}}
{{- end -}}

{{- /* Numbers that contradict each other. */ -}}
{{- $least := add (ceil (divf (int $config.SHUTDOWN_DELAY_MS) 1000.0)) 25 -}}
{{- range $key := list "api" "webhookIngest" "worker" -}}
{{- $one := get $v $key -}}
{{- if lt (int $one.terminationGracePeriodSeconds) (int $least) -}}
{{- $found = append $found (printf "%s.terminationGracePeriodSeconds|%d is too short for SHUTDOWN_DELAY_MS=%d and 25 s of work: pods would be killed while they answer|set at least %d" $key (int $one.terminationGracePeriodSeconds) (int $config.SHUTDOWN_DELAY_MS) (int $least)) -}}
{{- end -}}
{{- $scaling := $one.autoscaling | default $one.keda -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- $found = append $found (printf "%s|minReplicas is above maxReplicas|raise maxReplicas" $key) -}}
{{- end -}}
{{- end -}}
{{- if and $v.worker.keda.enabled (not $v.worker.keda.prometheusAddress) -}}
{{- $found = append $found "worker.keda.prometheusAddress|is not set: nobody would know the age of the queue|give the address of Prometheus, e.g. http://prometheus.monitoring:9090" -}}
{{- end -}}

{{- /* What the network policies would cut off. */ -}}
{{- if $v.networkPolicies.enabled -}}
{{- if and (not $v.networkPolicies.database.to) (not (or $v.postgresql.enabled $v.cnpg.enabled)) -}}
{{- $found = append $found "networkPolicies.database.to|is empty: no pod could reach PostgreSQL|name it, e.g. [{ipBlock: {cidr: 10.20.0.5/32}}]" -}}
{{- end -}}
{{- if and $public (not $v.networkPolicies.ingressController) -}}
{{- $found = append $found "networkPolicies.ingressController|is empty: the ingress could reach no pod|select the namespace of the ingress controller" -}}
{{- end -}}
{{- if and $strict (not $v.networkPolicies.smtp.to) -}}
{{- $found = append $found "networkPolicies.smtp.to|is empty: the worker could send no mail|name the mail server, e.g. [{ipBlock: {cidr: 203.0.113.7/32}}]" -}}
{{- end -}}
{{- if and $config.OTEL_EXPORTER_OTLP_ENDPOINT (not $v.networkPolicies.otlp.to) -}}
{{- $found = append $found "networkPolicies.otlp.to|is empty, while config.OTEL_EXPORTER_OTLP_ENDPOINT is set|select the collector" -}}
{{- end -}}
{{- if and (hasPrefix "s3://" ($config.BACKUP_URL | default "")) (not $v.networkPolicies.storage.to) -}}
{{- $found = append $found "networkPolicies.storage.to|is empty, while config.BACKUP_URL names an S3 store|name its address" -}}
{{- end -}}
{{- $verify := get $tasks "restore-verify" | default (dict "args" (list "--allow-production-server")) -}}
{{- if and $strict (not $v.networkPolicies.restoreVerify.to) (not (has "--allow-production-server" $verify.args)) -}}
{{- $found = append $found "networkPolicies.restoreVerify.to|is empty: restore-verify could not reach the server of RESTORE_VERIFY_DATABASE_URL, and no backup would ever be proven|name that server, e.g. [{ipBlock: {cidr: 10.20.0.6/32}}]; or set cronjobs.restore-verify.args=[--allow-production-server] if it is the one of networkPolicies.database; or set cronjobs.restore-verify.enabled=false" -}}
{{- end -}}
{{- if and (not $v.networkPolicies.sentry.to) (include "klar.sentryGiven" .) -}}
{{- $found = append $found "networkPolicies.sentry.to|is empty, while SENTRY_DSN is given: webhook-ingest reaches nothing else outside, and its reports would vanish|name Sentry's address, e.g. [{ipBlock: {cidr: 203.0.113.9/32}}]" -}}
{{- end -}}
{{- range $name := list "dns" "database" "redis" "providers" "smtp" "otlp" "sentry" "storage" "restoreVerify" -}}
{{- $one := get $v.networkPolicies $name -}}
{{- if and $one.to (not $one.ports) -}}
{{- $found = append $found (printf "networkPolicies.%s.ports|is empty, which would open every port|list the ports" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $found = concat $found (include "klar.missingSecrets" . | fromJsonArray) -}}
{{- if $found -}}
{{- $lines := list -}}
{{- range $found -}}
{{- $parts := splitList "|" . -}}
{{- $lines = append $lines (printf "  %s: %s\n    -> %s" (index $parts 0) (index $parts 1) (join "|" (slice $parts 2))) -}}
{{- end -}}
{{- fail (printf "\n\nThe values have %s:\n%s\n" (ternary "1 problem" (printf "%d problems" (len $found)) (eq (len $found) 1)) (join "\n" $lines)) -}}
{{- end -}}
{{- end -}}

{{/*
Findings about Secrets that are named and not there. Only where a cluster is reached: `helm template` knows none, and a
namespace that helm is about to make holds none yet. What is still missing then is told by the process, which ends with 78.
*/}}
{{- define "klar.missingSecrets" -}}
{{- $found := list -}}
{{- $v := .Values -}}
{{- $namespace := .Release.Namespace -}}
{{- if and (lookup "v1" "ServiceAccount" $namespace "default") (or $v.secrets.existingSecret $v.secrets.overrides $v.migrations.superuserSecret.name $v.pgbouncer.userlistSecret.name) -}}
{{- if $v.secrets.existingSecret -}}
{{- $secret := lookup "v1" "Secret" $namespace $v.secrets.existingSecret -}}
{{- if not $secret -}}
{{- $found = append $found (printf "secrets.existingSecret|there is no Secret %s in namespace %s|kubectl -n %s create secret generic %s --from-file=... with the keys of SETTINGS.md" $v.secrets.existingSecret $namespace $namespace $v.secrets.existingSecret) -}}
{{- else -}}
{{- $second := include "klar.fixedSecretName" . -}}
{{- $fixed := lookup "v1" "Secret" $namespace $second | default dict -}}
{{- range $name := include "klar.neededSecrets" . | fromJsonArray -}}
{{- $rotates := eq (include "klar.rotatable" (dict "name" $name)) "true" -}}
{{- $one := ternary $secret $fixed $rotates -}}
{{- if not (or (hasKey ($one.data | default dict) $name) (hasKey $v.secrets.overrides $name)) -}}
{{- $found = append $found (printf "secrets.existingSecret|Secret %s has no key %s|add it, or say in secrets.overrides.%s where it is" (ternary $v.secrets.existingSecret $second $rotates) $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $named := dict -}}
{{- range $name, $one := $v.secrets.overrides -}}
{{- $_ := set $named (printf "secrets.overrides.%s" $name) (list $one.secretName $one.key) -}}
{{- end -}}
{{- with $v.migrations.superuserSecret -}}
{{- if .name -}}{{- $_ := set $named "migrations.superuserSecret" (list .name .key) -}}{{- end -}}
{{- end -}}
{{- with $v.pgbouncer -}}
{{- if and .enabled .userlistSecret.name -}}{{- $_ := set $named "pgbouncer.userlistSecret" (list .userlistSecret.name .userlistSecret.key) -}}{{- end -}}
{{- end -}}
{{- range $value, $at := $named -}}
{{- $secret := lookup "v1" "Secret" $namespace (first $at) | default dict -}}
{{- if not (hasKey ($secret.data | default dict) (last $at)) -}}
{{- $found = append $found (printf "%s|there is no key %s in a Secret %s of namespace %s|make it, or name another" $value (last $at) (first $at) $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* "yes" where a SENTRY_DSN is seen: in the values, or in a Secret of a cluster that is reached. An ExternalSecret shows nothing. */}}
{{- define "klar.sentryGiven" -}}
{{- $secret := dict -}}
{{- if .Values.secrets.existingSecret -}}
{{- $secret = lookup "v1" "Secret" .Release.Namespace (include "klar.fixedSecretName" .) | default dict -}}
{{- end -}}
{{- if or (hasKey .Values.secrets.inline "SENTRY_DSN") (hasKey .Values.secrets.overrides "SENTRY_DSN") (hasKey ($secret.data | default dict) "SENTRY_DSN") -}}
yes
{{- end -}}
{{- end -}}

{{/* Secrets without which a process or a task of this release ends with 78. */}}
{{- define "klar.neededSecrets" -}}
{{- $strict := ne .Values.mode "demo" -}}
{{- $needed := concat (list "DATABASE_URL_API" "DATABASE_URL_AUTH" "DATABASE_URL_INGEST" "DATABASE_URL_WORKER") (ternary (list "DATABASE_URL_CONTROLLER") list .Values.controller.enabled) -}}
{{- if ne (include "klar.migrationsMode" .) "external" -}}
{{- $needed = append $needed "DATABASE_URL_MIGRATOR" -}}
{{- end -}}
{{- range $name, $secret := (.Files.Get "settings.generated.json" | fromJson).secrets -}}
{{- $serving := without $secret.processes "cli" -}}
{{- if and $serving (or (eq ($secret.required | default "") "always") (and $strict (eq ($secret.required | default "") "strict"))) -}}
{{- $needed = append $needed $name -}}
{{- end -}}
{{- end -}}
{{- if and $strict (eq (.Values.config.BILLING_PROVIDER | default "stripe") "stripe") -}}
{{- $needed = concat $needed (list "STRIPE_SECRET_KEY" "STRIPE_WEBHOOK_SECRET") -}}
{{- end -}}
{{- /* A task that lacks its login fails at night, when nobody reads what the installation said. */ -}}
{{- range $name, $task := include "klar.tasks" . | fromJson -}}
{{- range $secret := $task.secrets -}}
{{- $made := and (eq $secret "RESTORE_VERIFY_DATABASE_URL") $.Values.postgresql.enabled -}}
{{- if and (not $task.suspend) (not $made) (regexMatch "^(RESTORE_VERIFY_)?DATABASE_URL" $secret) -}}
{{- $needed = append $needed $secret -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson ($needed | uniq) -}}
{{- end -}}
