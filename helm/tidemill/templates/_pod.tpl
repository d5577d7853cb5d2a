{{- /* The pod of both workloads. */ -}}
{{- define "tidemill.podTemplate" -}}
metadata:
  labels:
    {{- include "tidemill.podLabels" . | nindent 4 }}
  annotations:
    checksum/config: {{ include "tidemill.configFile" . | sha256sum }}
    kubectl.kubernetes.io/default-container: worker
    {{- if .Values.metrics.annotations }}
    prometheus.io/scrape: "true"
    prometheus.io/path: /metrics
    prometheus.io/port: {{ .Values.admin.port | int64 | quote }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tidemill.serviceAccountName" . }}
  automountServiceAccountToken: false
  # Variables such as TIDEMILL_..._PORT, which Kubernetes makes of Services, would be taken for settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "tidemill.terminationGracePeriodSeconds" . }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tidemill.selectorLabels" $ | nindent 10 }}
    {{- end }}
    {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: worker
      image: {{ include "tidemill.image" (dict "image" .Values.image "fallback" .Chart.AppVersion) | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- with .Values.command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        - name: TIDEMILL_CONFIG
          value: /etc/tidemill/tidemill.toml
        {{- if include "tidemill.isDurable" . }}
        - name: TIDEMILL_IDENTITY__REPLICA
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: admin
          containerPort: {{ .Values.admin.port | int64 }}
          protocol: TCP
      startupProbe:
        httpGet:
          path: /livez
          port: admin
        {{- toYaml .Values.startupProbe | nindent 8 }}
      livenessProbe:
        httpGet:
          path: /livez
          port: admin
        {{- toYaml .Values.livenessProbe | nindent 8 }}
      readinessProbe:
        httpGet:
          path: /readyz
          port: admin
        {{- toYaml .Values.readinessProbe | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/tidemill
          readOnly: true
        {{- with include "tidemill.secretMounts" . }}
        {{- . | trim | nindent 8 }}
        {{- end }}
        {{- if .Values.persistence.enabled }}
        - name: data
          mountPath: {{ .Values.persistence.mountPath }}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "tidemill.fullname" . }}
    {{- with include "tidemill.secretVolumes" . }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* Secrets are files, so that they stand in no environment and a rotation reaches a running pod. */ -}}
{{- define "tidemill.secretVolumes" -}}
{{- $mode := 288 -}}{{- /* 0440: the group is `fsGroup` */ -}}
{{- with .Values.auth }}{{ if .existingSecret }}
- name: secret-broker
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: {{ $mode }}
    items: [{ key: {{ .passwordKey | quote }}, path: password }]
{{- end }}{{ end }}
{{- with .Values.tls.ca }}{{ if .existingSecret }}
- name: secret-ca
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: {{ $mode }}
    items: [{ key: {{ .key | quote }}, path: ca.crt }]
{{- else if .existingConfigMap }}
- name: secret-ca
  configMap:
    name: {{ .existingConfigMap }}
    items: [{ key: {{ .key | quote }}, path: ca.crt }]
{{- end }}{{ end }}
{{- with .Values.tls.client }}{{ if .existingSecret }}
- name: secret-client
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: {{ $mode }}
    items: [{ key: {{ .certKey | quote }}, path: tls.crt }, { key: {{ .keyKey | quote }}, path: tls.key }]
{{- end }}{{ end }}
{{- with .Values.admin.token }}{{ if .existingSecret }}
- name: secret-admin
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: {{ $mode }}
    items: [{ key: {{ .key | quote }}, path: token }]
{{- end }}{{ end }}
{{- range .Values.secretFiles }}
- name: secret-{{ .name }}
  secret:
    secretName: {{ .existingSecret }}
    defaultMode: {{ $mode }}
{{- end }}
{{- end -}}

{{- define "tidemill.secretMounts" -}}
{{- $names := list -}}
{{- if .Values.auth.existingSecret }}{{ $names = append $names "broker" }}{{ end -}}
{{- if or .Values.tls.ca.existingSecret .Values.tls.ca.existingConfigMap }}{{ $names = append $names "ca" }}{{ end -}}
{{- if .Values.tls.client.existingSecret }}{{ $names = append $names "client" }}{{ end -}}
{{- if .Values.admin.token.existingSecret }}{{ $names = append $names "admin" }}{{ end -}}
{{- range .Values.secretFiles }}{{ $names = append $names .name }}{{ end -}}
{{- range $names }}
- name: secret-{{ . }}
  mountPath: /run/secrets/tidemill/{{ . }}
  readOnly: true
{{- end }}
{{- end -}}
