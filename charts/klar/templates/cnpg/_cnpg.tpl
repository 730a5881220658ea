{{- define "klar.cnpgName" -}}
{{- include "klar.fullname" . }}-pg
{{- end -}}
