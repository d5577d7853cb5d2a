{{- define "tidemill.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* At most 52 characters: a StatefulSet's pods carry it in a label, with a revision of eleven more. */ -}}
{{- define "tidemill.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "tidemill.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tidemill.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tidemill.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "tidemill.labels" -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "app.kubernetes.io/version" (.Values.image.tag | default .Chart.AppVersion | trunc 63)
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "tidemill" -}}
{{- merge (include "tidemill.selectorLabels" . | fromYaml) $labels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- /* Those of pods change only when the pod does: an update rolls them. */ -}}
{{- define "tidemill.podLabels" -}}
{{- merge (include "tidemill.selectorLabels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "tidemill.metadata" -}}
name: {{ include "tidemill.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "tidemill.labels" . | nindent 2 }}
{{- end -}}

{{- define "tidemill.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tidemill.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* An image from `repository`, `tag` and `digest`; `fallback` is the tag when none is given. */ -}}
{{- define "tidemill.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .fallback) -}}
{{- end -}}
{{- end -}}

{{- /* Names of the release's pods, as an anchored expression that fits those of no other release: with the number of a
StatefulSet's pod, or with the two parts that a Deployment appends. */ -}}
{{- define "tidemill.podPattern" -}}
{{- printf "%s-%s" (include "tidemill.fullname" .) (ternary "[0-9]+" "[0-9a-z]+-[0-9a-z]{5}" (eq (include "tidemill.isDurable" .) "true")) -}}
{{- end -}}

{{- define "tidemill.isDurable" -}}
{{- if eq .Values.workload "StatefulSet" }}true{{ end -}}
{{- end -}}

{{- /* Whether the worker is a client of IBM Watson IoT Platform or Maximo IoT. */ -}}
{{- define "tidemill.isPlatform" -}}
{{- if eq (toString (.Values.config.identity | default dict).mode) "platform" }}true{{ end -}}
{{- end -}}

{{- /* Whether `helm test` has something to run: the doctor's topics are none of the platform's. */ -}}
{{- define "tidemill.hasTest" -}}
{{- if and .Values.test.enabled (not (include "tidemill.isPlatform" .)) }}true{{ end -}}
{{- end -}}

{{- define "tidemill.isAutoscaled" -}}
{{- if or .Values.autoscaling.hpa.enabled .Values.autoscaling.keda.enabled }}true{{ end -}}
{{- end -}}

{{- /* Seconds of a duration such as `1h 30m`, rounded up; the dictionary has `text` and, for the message, `key`. */ -}}
{{- define "tidemill.seconds" -}}
{{- $units := dict "ns" 0.000000001 "us" 0.000001 "ms" 0.001 "s" 1 "sec" 1 "secs" 1 "second" 1 "seconds" 1
  "m" 60 "min" 60 "mins" 60 "minute" 60 "minutes" 60 "h" 3600 "hr" 3600 "hrs" 3600 "hour" 3600 "hours" 3600
  "d" 86400 "day" 86400 "days" 86400 -}}
{{- $text := toString .text -}}
{{- $parts := regexFindAll "[0-9]+ *[a-z]+" $text -1 -}}
{{- if or (not $parts) (ne (regexReplaceAll "[0-9]+ *[a-z]+| " $text "") "") -}}
{{- fail (printf "%s: %q is no duration: write one with a unit, such as 30s or 1m 30s." .key $text) -}}
{{- end -}}
{{- $sum := 0.0 -}}
{{- range $parts -}}
{{- $number := regexFind "[0-9]+" . -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- if not (hasKey $units $unit) -}}
{{- fail (printf "%s: %q has a unit that is not known here: use s, m, h or d." $.key $text) -}}
{{- end -}}
{{- $sum = addf $sum (mulf (float64 $number) (get $units $unit)) -}}
{{- end -}}
{{- ceil $sum | int64 -}}
{{- end -}}

{{- /* What draining may take: the deadline, and what forcing the end adds. */ -}}
{{- define "tidemill.drainSeconds" -}}
{{- $drain := .Values.config.drain | default dict -}}
{{- $seconds := include "tidemill.seconds" (dict "key" "config.drain.deadline" "text" ($drain.deadline | default "30s")) | int64 -}}
{{- $force := include "tidemill.seconds" (dict "key" "config.drain.force" "text" ($drain.force | default "5s")) | int64 -}}
{{- add $seconds $force -}}
{{- end -}}

{{- define "tidemill.terminationGracePeriodSeconds" -}}
{{- $needed := add (include "tidemill.drainSeconds" . | int64) (int64 .Values.terminationMarginSeconds) -}}
{{- default $needed .Values.terminationGracePeriodSeconds -}}
{{- end -}}

{{- /* Ports of the broker's addresses, as a list of numbers without repetition. */ -}}
{{- define "tidemill.brokerPorts" -}}
{{- $mqtt := .Values.config.mqtt | default dict -}}
{{- $defaults := dict "mqtt" 1883 "mqtts" 8883 "ws" 80 "wss" 443 -}}
{{- $ports := list -}}
{{- range prepend ($mqtt.fallback_urls | default list) ($mqtt.url | default "mqtt://127.0.0.1:1883") -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (toString (get $defaults $url.scheme)) -}}
{{- $ports = append $ports (int64 $port) -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}
