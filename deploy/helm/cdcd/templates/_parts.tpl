{{- define "cdcd.name" -}}
{{- if contains "cdcd" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-cdcd" (.Release.Name | trunc 47 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "cdcd.selector" -}}
app.kubernetes.io/name: cdcd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cdcd.labels" -}}
{{ include "cdcd.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "cdcd.serviceAccount" -}}
{{ .Values.serviceAccount.existing | default (include "cdcd.name" .) }}
{{- end -}}

{{- define "cdcd.secret" -}}
{{- if .Values.secrets.existing -}}
{{ .Values.secrets.existing }}
{{- else if .Values.secrets.values -}}
{{ include "cdcd.name" . }}
{{- end -}}
{{- end -}}

{{/* What every pod of the chart is like: worker, check, comparison. */}}
{{- define "cdcd.pod" -}}
serviceAccountName: {{ include "cdcd.serviceAccount" . }}
automountServiceAccountToken: {{ .Values.serviceAccount.token }}
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "cdcd.name" . }}
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- with .Values.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "cdcd.container" -}}
name: cdcd
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
env:
  - name: CDCD_CONFIG
    value: /etc/cdcd/cdcd.toml
  # A worker's name outlives its pod, and so do its lanes.
  - name: CDCD_INSTANCE
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  - name: CDCD_HTTP__HOST
    value: 0.0.0.0
  - name: CDCD_HTTP__PORT
    value: "8080"
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "cdcd.secret" . }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
resources: {{ toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/cdcd
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
