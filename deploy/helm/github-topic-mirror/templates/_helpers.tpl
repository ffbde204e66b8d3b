{{- define "mirror.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Labels of a component's pods. Call with (list $ "api"). */ -}}
{{- define "mirror.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "mirror.labels" -}}
{{- $root := index . 0 -}}
{{ include "mirror.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The image of a program. Call with (list $ "api"). */ -}}
{{- define "mirror.image" -}}
{{- $images := (index . 0).Values.images -}}
{{- $tag := $images.tag | default (index . 0).Chart.AppVersion -}}
image: {{ printf "%sgithub-topic-mirror-%s:%s" $images.prefix (index . 1) $tag | quote }}
imagePullPolicy: {{ $images.pullPolicy }}
{{- end -}}

{{- /* Settings of a pod that are the same for each component. No image needs its own user. */ -}}
{{- define "mirror.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "mirror.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- /* Settings by name, each after a line break. Call with (list $ (list "TOPICS")). */ -}}
{{- define "mirror.settings" -}}
{{- $settings := (index . 0).Values.settings -}}
{{- range $name := index . 1 }}
{{- $value := get $settings $name }}
{{- /* toString gives a large number an exponent. */}}
{{- $value = kindIs "float64" $value | ternary (int64 $value) $value | toString }}
{{- if $value }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* A variable from a Secret. Call with (list name secret key optional). */ -}}
{{- define "mirror.secret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
      {{- if index . 3 }}
      optional: true
      {{- end }}
{{- end -}}

{{- define "mirror.databaseEnv" -}}
{{- $secret := .Values.secret -}}
{{- if .Values.cloudnativepg.enabled -}}
{{- $cluster := printf "%s-database" (include "mirror.name" .) -}}
- name: DATABASE_URL
  value: postgres://{{ $cluster }}-rw:5432
{{ include "mirror.secret" (list "POSTGRES_USER" (print $cluster "-app") "username" false) }}
{{ include "mirror.secret" (list "POSTGRES_PASSWORD" (print $cluster "-app") "password" false) }}
{{ include "mirror.secret" (list "POSTGRES_DB" (print $cluster "-app") "dbname" false) }}
{{- else -}}
{{- if .Values.database.url -}}
- name: DATABASE_URL
  value: {{ .Values.database.url | quote }}
{{- else -}}
{{ include "mirror.secret" (list "DATABASE_URL" $secret "DATABASE_URL" false) }}
{{- end }}
{{- with .Values.database.user }}
- name: POSTGRES_USER
  value: {{ . | quote }}
{{- end }}
{{ include "mirror.secret" (list "POSTGRES_PASSWORD" $secret "POSTGRES_PASSWORD" true) }}
{{- with .Values.database.name }}
- name: POSTGRES_DB
  value: {{ . | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- /* The variables of the service, in replicas and in the Job. */ -}}
{{- define "mirror.apiEnv" -}}
- name: LISTEN_ADDR
  value: 0.0.0.0:5000
- name: METRICS_ADDR
  value: 0.0.0.0:9100
- name: SCHEDULER
  value: external
{{ include "mirror.databaseEnv" . }}
{{ include "mirror.secret" (list "DATABASE_READ_URL" .Values.secret "DATABASE_READ_URL" true) }}
{{- if .Values.redis.url }}
- name: REDIS_URL
  value: {{ .Values.redis.url | quote }}
{{- else }}
{{ include "mirror.secret" (list "REDIS_URL" .Values.secret "REDIS_URL" true) }}
{{- end }}
{{ include "mirror.secret" (list "MAINTENANCE_TOKEN" .Values.secret "MAINTENANCE_TOKEN" false) }}
{{ include "mirror.secret" (list "GITHUB_TOKEN" .Values.secret "GITHUB_TOKEN" true) }}
{{- if .Values.settings.PURGE_URL }}
{{ include "mirror.secret" (list "PURGE_KEY" .Values.secret "PURGE_KEY" false) }}
{{- end }}
{{- $names := without (keys .Values.settings | sortAlpha) "RATE_LIMIT" }}
{{- include "mirror.settings" (list . $names) }}
{{- if .Values.certificates.configMap }}
- name: SSL_CERT_DIR
  value: /etc/ssl/certs
{{- end }}
{{- with .Values.api.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "mirror.certificateMount" -}}
{{- if .Values.certificates.configMap }}
volumeMounts:
  - name: certificates
    mountPath: /etc/ssl/certs/own.pem
    subPath: {{ .Values.certificates.key }}
    readOnly: true
{{- end }}
{{- end -}}

{{- define "mirror.certificateVolume" -}}
{{- if .Values.certificates.configMap }}
volumes:
  - name: certificates
    configMap:
      name: {{ .Values.certificates.configMap }}
{{- end }}
{{- end -}}

{{- /* Spreads a component's pods over nodes and zones. Call with (list $ "api"). */ -}}
{{- define "mirror.spread" -}}
topologySpreadConstraints:
  {{- $arguments := . }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "mirror.selector" $arguments | nindent 8 }}
  {{- end }}
{{- end -}}
