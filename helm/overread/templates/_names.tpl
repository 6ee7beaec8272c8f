{{- define "overread.labels" -}}
app.kubernetes.io/name: overread
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "overread.settings" -}}
{{- $fixed := dict
      "data" "/data"
      "health_host" "0.0.0.0"
      "health_port" (int .Values.healthPort)
      "gateway" (dict "host" "0.0.0.0" "port" (int .Values.gateway.port) "ae_title" .Values.gateway.aeTitle "peers" .Values.gateway.peers)
-}}
{{- mergeOverwrite (deepCopy .Values.settings) $fixed | toYaml -}}
{{- end -}}
